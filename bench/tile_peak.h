// SPDX-License-Identifier: Apache-2.0
// Products of tiles that stay in registers: the rate that no kernel of this machine can exceed.
#pragma once
#include <cstdint>

namespace polyphony::bench {

enum class TileOperation : uint8_t { bf16, int8 };

// Multiplications and additions of `times` rounds.
double operations_of(TileOperation operation, int64_t times);
// Only where polyphony::cpu_level() is amx. On the calling thread.
void run_tiles(TileOperation operation, int64_t times);

}  // namespace polyphony::bench
