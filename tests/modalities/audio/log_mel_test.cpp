// SPDX-License-Identifier: Apache-2.0
// Whisper's features against transformers' extractor, and what silence and short sounds give.
#include "modalities/audio/log_mel.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/tensor_io.h"

namespace polyphony::audio {
namespace {

TensorMap golden() { return load_tensors(POLYPHONY_SOURCE_DIR "/tests/golden/audio/log_mel.safetensors"); }

TEST(LogMel, EqualsTheOriginalExtractor) {
  const TensorMap expected = golden();
  const at::Tensor samples_T = expected.at("samples").to(at::kFloat).div(32768);
  for (const int64_t bins : {80, 128}) {
    const std::string suffix = "_" + std::to_string(bins);
    const at::Tensor plain_ML = log_mel(samples_T, {.num_mels = bins, .pad_to_chunk = false});
    ASSERT_EQ(plain_ML.sizes(), expected.at("plain" + suffix).sizes());
    EXPECT_TRUE(at::allclose(plain_ML, expected.at("plain" + suffix), 0, 2e-5));
    const at::Tensor padded_ML = log_mel(samples_T, {.num_mels = bins});
    ASSERT_EQ(padded_ML.sizes(), (at::IntArrayRef{bins, 3000}));
    EXPECT_TRUE(at::allclose(padded_ML.slice(1, 0, 90), expected.at("padded" + suffix), 0, 2e-5));
    EXPECT_TRUE(at::allclose(padded_ML.slice(1, 90).max(), expected.at("tail" + suffix).max(), 0, 2e-5));
  }
}

TEST(LogMel, FiltersEqualTheOriginalsAndHaveUnitArea) {
  EXPECT_TRUE(at::allclose(mel_filters(80).to(at::kFloat), golden().at("filters_80"), 1e-5, 1e-8));
  // 40 Hz a bin is coarse, so the area of a triangle is only near one.
  const at::Tensor area_M = mel_filters(80).sum(0) * 40.0;
  EXPECT_NEAR(area_M.mean().item<double>(), 1.0, 0.02);
}

TEST(LogMel, SilenceGivesTheFloorValue) {
  const at::Tensor silence_ML = log_mel(at::zeros({16000}));
  EXPECT_TRUE(at::allclose(silence_ML, at::full_like(silence_ML, -1.5)));  // (log10(1e-10) + 4) / 4
}

TEST(LogMel, AFrameComesEveryTenMilliseconds) {
  const auto frames = [](int64_t samples) { return log_mel(at::rand({samples}), {.pad_to_chunk = false}).size(1); };
  for (const int64_t samples : {0, 1, 159, 160, 200, 201, 399, 400, 16000, 16100})
    EXPECT_EQ(frames(samples), samples / 160);
}

TEST(LogMel, IsFiniteForExtremeSamples) {
  for (const at::Tensor& sound_T : {at::ones({4000}), -at::ones({4000}), at::full({4000}, 1e-40), at::zeros({4000})})
    EXPECT_TRUE(at::isfinite(log_mel(sound_T, {.pad_to_chunk = false})).all().item<bool>());
}

TEST(LogMel, CutsALongSoundToThirtySeconds) {
  const at::Tensor long_T = at::rand({kChunkSamples + 5000});
  EXPECT_TRUE(at::equal(log_mel(long_T), log_mel(long_T.slice(0, 0, kChunkSamples))));
}

TEST(LogMel, RefusesOtherTensors) {
  EXPECT_THROW(log_mel(at::rand({2, 100})), ShapeError);
  EXPECT_THROW(log_mel(at::zeros({100}, at::kDouble)), ShapeError);
  EXPECT_THROW(mel_filters(0), ShapeError);
}

}  // namespace
}  // namespace polyphony::audio
