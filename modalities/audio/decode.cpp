// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/decode.h"

#include <ATen/ATen.h>

#include <vector>

namespace polyphony::audio {

namespace {

constexpr int64_t kPieceSamples = 60 * kSampleRateHz;

at::Tensor read_all(AudioReader reader) {
  std::vector<at::Tensor> pieces;
  do {
    pieces.push_back(reader.read(kPieceSamples));
  } while (pieces.back().numel() == kPieceSamples);
  return at::cat(pieces);
}

}  // namespace

at::Tensor decode_audio(std::span<const std::byte> bytes, const AudioLimits& limits) {
  return read_all(AudioReader::open_bytes(bytes, limits));
}

at::Tensor load_audio(const std::filesystem::path& path, const AudioLimits& limits) {
  return read_all(AudioReader::open_file(path, limits));
}

}  // namespace polyphony::audio
