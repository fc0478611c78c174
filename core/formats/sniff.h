// SPDX-License-Identifier: Apache-2.0
// What a file really is when it is not what its name says.
#pragma once
#include <cstddef>
#include <span>
#include <string>

namespace polyphony::formats {

constexpr size_t kSniffBytes = 512;

// A phrase with the remedy for a message, e.g. "a Git LFS pointer: run `git lfs pull`"; empty when the first bytes
// (up to kSniffBytes of them are looked at) are of no kind that people mistake for weights.
std::string describe_foreign(std::span<const std::byte> first_bytes);

}  // namespace polyphony::formats
