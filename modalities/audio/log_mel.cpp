// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/log_mel.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "modalities/audio/decode.h"

namespace polyphony::audio {

namespace {

constexpr int64_t kBins = kWindowSamples / 2 + 1;

// Slaney's scale: 3 mel for 200 Hz up to 1000 Hz, then 27 mel for each factor of 6.4.
constexpr double kLinearHz = 200.0 / 3.0, kBreakHz = 1000.0, kBreakMel = kBreakHz / kLinearHz;
const double kLogStep = std::log(6.4) / 27.0;

double hz_to_mel(double hz) { return hz < kBreakHz ? hz / kLinearHz : kBreakMel + std::log(hz / kBreakHz) / kLogStep; }

double mel_to_hz(double mel) {
  return mel < kBreakMel ? mel * kLinearHz : kBreakHz * std::exp(kLogStep * (mel - kBreakMel));
}

}  // namespace

at::Tensor mel_filters(int64_t num_mels) {
  check<ShapeError>(num_mels >= 1 && num_mels <= 512, "[log_mel] expected 1 to 512 mel bins, got ", num_mels);
  const double top_mel = hz_to_mel(kSampleRateHz / 2.0);
  const auto corner_hz = [&](int64_t i) {
    return mel_to_hz(top_mel * static_cast<double>(i) / static_cast<double>(num_mels + 1));
  };
  at::Tensor filter_BM = at::zeros({kBins, num_mels}, at::kDouble);
  auto value = filter_BM.accessor<double, 2>();
  for (int64_t m = 0; m < num_mels; ++m) {
    const double left = corner_hz(m), peak = corner_hz(m + 1), right = corner_hz(m + 2);
    for (int64_t b = 0; b < kBins; ++b) {
      const double hz = static_cast<double>(b) * kSampleRateHz / kWindowSamples;
      const double height = std::min((hz - left) / (peak - left), (right - hz) / (right - peak));
      value[b][m] = std::max(0.0, height) * 2.0 / (right - left);
    }
  }
  return filter_BM;
}

at::Tensor log_mel(const at::Tensor& samples_T, const LogMelOptions& options) {
  check<ShapeError>(samples_T.defined() && samples_T.dim() == 1 && samples_T.scalar_type() == at::kFloat,
                    "[log_mel] samples must be f32 (T), got ", samples_T.sizes());
  const int64_t wanted = options.pad_to_chunk ? kChunkSamples : samples_T.size(0);
  const int64_t frames = wanted / kHopSamples;
  at::Tensor filter_BM = mel_filters(options.num_mels).to(at::kFloat).to(samples_T.device());
  if (frames == 0) return at::empty({options.num_mels, 0}, samples_T.options());

  at::Tensor sound_T = samples_T.slice(0, 0, wanted);
  const int64_t missing = std::max(wanted, kWindowSamples) - sound_T.size(0);
  if (missing > 0) sound_T = at::constant_pad_nd(sound_T, {0, missing});
  const at::Tensor window = at::hann_window(kWindowSamples, /*periodic=*/true, samples_T.options());
  const at::Tensor spectrum_BL = at::stft(sound_T, kWindowSamples, kHopSamples, kWindowSamples, window, /*center=*/true,
                                          "reflect", /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true);
  const at::Tensor power_BL = spectrum_BL.slice(1, 0, frames).abs().pow(2);
  const at::Tensor log_ML = filter_BM.t().matmul(power_BL).clamp_min(1e-10).log10();
  return at::maximum(log_ML, log_ML.max() - 8.0).add(4.0).div(4.0);
}

}  // namespace polyphony::audio
