// SPDX-License-Identifier: Apache-2.0
// Which vector instructions the kernels of this process may use.
#pragma once
#include <string_view>

namespace polyphony {

// Each level includes the ones below it.
enum class CpuLevel { plain, avx2, avx512_bf16, amx };

// The highest level that the processor has and the operating system grants (AMX needs a permission on Linux), or a
// lower one that POLYPHONY_CPU_LEVEL names. Decided once, at the first call. Throws ConfigError where the variable
// names no level or one that this machine lacks.
CpuLevel cpu_level();

// What the machine has, whatever the variable says.
CpuLevel highest_cpu_level();

std::string_view to_string(CpuLevel level);

}  // namespace polyphony
