// SPDX-License-Identifier: Apache-2.0
// 16 kHz mono samples -> the log-mel spectrogram that Whisper's encoder reads.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace polyphony::audio {

inline constexpr int64_t kHopSamples = 160;     // 10 ms: one frame
inline constexpr int64_t kWindowSamples = 400;  // 25 ms: length of window and transform
inline constexpr int64_t kChunkSamples = 30 * 16'000;

struct LogMelOptions {
  int64_t num_mels = 80;     // 80, or 128 for the larger models
  bool pad_to_chunk = true;  // pad with zeros or cut to 30 s, as the published encoders expect
};

// f64 (201, num_mels): triangular filters on the Slaney scale over 0..8000 Hz, each of unit area.
// Source: Slaney, Auditory Toolbox (1998); linear below 1 kHz, logarithmic above.
at::Tensor mel_filters(int64_t num_mels);

// samples_T: f32, -1..1, 16 kHz mono. Returns f32 (num_mels, frames): frames = 3000 with pad_to_chunk, else T / 160.
// Power of a centred transform with a periodic Hann window and reflected edges, its last frame dropped; mel; log10 of
// at least 1e-10; nothing more than 8 below the clip's largest value; (v + 4) / 4. Without pad_to_chunk a sound shorter
// than one window is padded to one window first; T < 160 gives no frame. Throws ShapeError. Source: Whisper
// (arXiv:2212.04356, section 2.2).
at::Tensor log_mel(const at::Tensor& samples_T, const LogMelOptions& options = {});

}  // namespace polyphony::audio
