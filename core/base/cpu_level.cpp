// SPDX-License-Identifier: Apache-2.0
#include "core/base/cpu_level.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace polyphony {
namespace {

constexpr std::string_view kNames[] = {"plain", "avx2", "avx512_bf16", "amx"};

#if defined(__x86_64__)
// AMX registers are large: Linux gives them to a process that asks. Linux, Documentation/arch/x86/xstate.rst.
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_tiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  return (edx & kAmxBf16) != 0 && (edx & kAmxTile) != 0 && may_use_tiles();
}
#endif

CpuLevel find_highest() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CpuLevel::plain;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl"))
    return CpuLevel::avx2;
  return has_tiles() ? CpuLevel::amx : CpuLevel::avx512_bf16;
#else
  return CpuLevel::plain;
#endif
}

CpuLevel choose() {
  const CpuLevel highest = highest_cpu_level();
  const char* wanted = std::getenv("POLYPHONY_CPU_LEVEL");
  if (wanted == nullptr || *wanted == '\0') return highest;
  for (int i = 0; i <= static_cast<int>(highest); ++i)
    if (kNames[i] == wanted) return static_cast<CpuLevel>(i);
  std::string levels;
  for (int i = 0; i <= static_cast<int>(highest); ++i) levels += (i ? ", " : "") + std::string(kNames[i]);
  throw ConfigError("[POLYPHONY_CPU_LEVEL] expected a level of this machine (" + levels + "), got \"" + wanted + "\"");
}

}  // namespace

CpuLevel highest_cpu_level() {
  static const CpuLevel level = find_highest();
  return level;
}

CpuLevel cpu_level() {
  static const CpuLevel level = choose();
  return level;
}

std::string_view to_string(CpuLevel level) { return kNames[static_cast<int>(level)]; }

}  // namespace polyphony
