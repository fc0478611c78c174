// SPDX-License-Identifier: Apache-2.0
// Handcrafted WAV bytes for the tests, valid by default and wrong where a case says so.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

namespace polyphony::audio {

inline std::string little(uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

struct WavFormat {
  uint32_t tag = 1;  // 1 integer, 3 float, 0xfffe extensible
  uint32_t channels = 1;
  uint32_t rate_hz = 16000;
  uint32_t bits = 16;
  int64_t block_align = -1;  // -1: the right one
  int64_t data_size = -1;    // -1: the right one
};

inline std::string wav_chunk(const std::string& name, const std::string& data, int64_t size = -1) {
  return name + little(size < 0 ? data.size() : static_cast<uint64_t>(size), 4) + data +
         std::string(data.size() % 2, '\0');
}

inline std::string wav_format_chunk(const WavFormat& f) {
  const uint64_t block = f.block_align < 0 ? f.channels * f.bits / 8 : static_cast<uint64_t>(f.block_align);
  std::string body = little(f.tag, 2) + little(f.channels, 2) + little(f.rate_hz, 4) +
                     little(uint64_t{f.rate_hz} * block, 4) + little(block, 2) + little(f.bits, 2);
  if (f.tag == 0xfffe)  // extension: size, valid bits, channel mask, GUID of integer samples
    body += little(22, 2) + little(f.bits, 2) + little(f.channels == 1 ? 4 : 3, 4) + little(1, 2) +
            std::string("\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", 14);
  return wav_chunk("fmt ", body);
}

inline std::string riff(const std::string& chunks) { return "RIFF" + little(chunks.size() + 4, 4) + "WAVE" + chunks; }

inline std::string wav(const WavFormat& format, const std::string& data) {
  return riff(wav_format_chunk(format) + wav_chunk("data", data, format.data_size));
}

template <class Sample>
std::string packed(const std::vector<Sample>& samples) {
  std::string out(samples.size() * sizeof(Sample), '\0');
  if (!samples.empty()) std::memcpy(out.data(), samples.data(), out.size());
  return out;
}

// A tone of half the full scale, `channels` times side by side.
inline std::vector<int16_t> tone(int64_t count, double hz, double rate_hz, int channels = 1) {
  std::vector<int16_t> out;
  for (int64_t i = 0; i < count; ++i) {
    const double phase = 2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz;
    for (int c = 0; c < channels; ++c) out.push_back(static_cast<int16_t>(16384 * std::sin(phase)));
  }
  return out;
}

}  // namespace polyphony::audio
