// SPDX-License-Identifier: Apache-2.0
// SHA-256 of bytes that arrive in pieces.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace polyphony {

// Source: FIPS 180-4, sections 4.1.2, 5.1.1 and 6.2.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // 64 lower-case hex digits. Ends the message: make a new object for the next one.
  std::string hex_digest();

 private:
  void compress(const uint8_t* block);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  uint64_t num_bytes_ = 0;
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace polyphony
