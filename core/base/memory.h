// SPDX-License-Identifier: Apache-2.0
// How much memory there is, asked before much of it is taken.
#pragma once
#include <cstdint>
#include <string_view>

namespace polyphony {

// Bytes that programs could take now without swapping (Linux: MemAvailable); 0 where the system does not say.
uint64_t available_memory();

// Throws MemoryError with both numbers when `bytes` are not there; `what` begins the sentence ("the model").
void check_fits_memory(uint64_t bytes, std::string_view where, std::string_view what);

}  // namespace polyphony
