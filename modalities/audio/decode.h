// SPDX-License-Identifier: Apache-2.0
// Sound of any common container -> 16 kHz mono samples, whole or as a stream of bounded memory.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace polyphony::audio {

inline constexpr int64_t kSampleRateHz = 16'000;

struct AudioLimits {
  double max_duration_s = 2 * 3600.0;         // of the decoded sound; raise it for streams
  int max_streams = 64;                       // of the container
  int64_t max_probe_bytes = 5 << 20;          // read before the streams must be known
  int64_t max_video_pixels = 64'000'000;      // of a video stream beside the sound
  int max_bad_packets = 32;                   // in a row
  double deadline_s = 120.0;                  // of one call of open or read
  std::function<bool()> cancelled = nullptr;  // asked often; must not throw
};

struct AudioInfo {
  std::string container;  // FFmpeg's short name
  std::string codec;
  int sample_rate_hz = 0;          // as stored
  int channels = 0;                // as stored
  double declared_duration_s = 0;  // 0 where the container does not say
};

// Decodes the best audio stream of a container piece by piece.
// Sound is mixed to mono without gain (two equal channels give that channel), resampled to 16 kHz and kept in [-1, 1];
// NaN and infinite samples become 0. Nothing but the given bytes is ever opened: playlists and references are refused.
class AudioReader {
 public:
  // Throws DataError: an address or a missing file, an unknown or refused container, no audio stream, a codec that this
  // FFmpeg lacks, a limit. CancelledError when `cancelled` said so.
  static AudioReader open_file(const std::filesystem::path& path, const AudioLimits& limits = {});
  // The bytes must outlive the reader.
  static AudioReader open_bytes(std::span<const std::byte> bytes, const AudioLimits& limits = {});
  ~AudioReader();
  AudioReader(AudioReader&&) noexcept;
  AudioReader& operator=(AudioReader&&) noexcept;

  // f32 (n) with n <= max_samples, fewer only at the end, 0 after it. Bad packets are skipped.
  // Throws DataError for more than max_bad_packets bad packets in a row, CancelledError.
  at::Tensor read(int64_t max_samples);
  const AudioInfo& info() const;

 private:
  class State;
  explicit AudioReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The whole sound: f32 (T), 16 kHz mono; T is 0 for a file without samples. Throws as AudioReader does.
at::Tensor decode_audio(std::span<const std::byte> bytes, const AudioLimits& limits = {});
at::Tensor load_audio(const std::filesystem::path& path, const AudioLimits& limits = {});

}  // namespace polyphony::audio
