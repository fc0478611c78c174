// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4), and TFRecord's masked form.
#pragma once
#include <cstdint>
#include <string_view>

namespace polyphony::formats {

uint32_t crc32c(std::string_view bytes);

// Rotated and shifted, so that a checksum over bytes that hold checksums stays strong (TensorFlow, TFRecord format).
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace polyphony::formats
