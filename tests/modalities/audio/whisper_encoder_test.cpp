// SPDX-License-Identifier: Apache-2.0
// The encoder against transformers' with the same random weights, and the connector behind it.
#include "modalities/audio/whisper_encoder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/tensor_io.h"
#include "modalities/audio/connector.h"

namespace polyphony::audio {
namespace {

const std::string kGolden = POLYPHONY_SOURCE_DIR "/tests/golden/audio/";
constexpr WhisperEncoderConfig kTiny{
    .num_mels = 8, .dim = 16, .num_layers = 2, .num_heads = 2, .ffn_dim = 32, .max_positions = 12};

TEST(WhisperEncoder, EqualsTheOriginal) {
  WhisperEncoder encoder(kTiny);
  load_into(encoder, kGolden + "whisper_encoder.safetensors");  // strict: the names are the original's
  const TensorMap io = load_tensors(kGolden + "whisper_encoder_io.safetensors");
  const at::Tensor result_BLD = encoder.forward(io.at("mel"));
  EXPECT_TRUE(at::allclose(result_BLD, io.at("result"), 0, 1e-5))
      << (result_BLD - io.at("result")).abs().max().item<float>();
}

TEST(WhisperEncoder, HalvesTheFramesAndTakesShorterSounds) {
  WhisperEncoder encoder(kTiny);
  EXPECT_EQ(encoder.forward(at::rand({1, 8, 24})).sizes(), (at::IntArrayRef{1, 12, 16}));
  EXPECT_EQ(encoder.forward(at::rand({2, 8, 7})).sizes(), (at::IntArrayRef{2, 4, 16}));
  EXPECT_THROW(encoder.forward(at::rand({1, 8, 25})), ShapeError);
  EXPECT_THROW(encoder.forward(at::rand({1, 9, 24})), ShapeError);
  EXPECT_THROW(encoder.forward(at::rand({1, 8, 0})), ShapeError);
}

TEST(WhisperEncoder, RefusesConfigsThatDoNotDivide) {
  EXPECT_THROW(WhisperEncoder({.dim = 16, .num_heads = 3}), ConfigError);
  EXPECT_THROW(WhisperEncoder({.dim = 15, .num_heads = 5}), ConfigError);
}

TEST(AudioConnector, StacksFramesIntoTokens) {
  AudioConnector connector({.frame_dim = 3, .stack = 4, .hidden = 5, .dim = 6});
  const TokenSequence tokens = connector.forward(at::rand({3, 10, 3}), {10, 0, 5});
  check_token_sequence(tokens);
  EXPECT_THAT(tokens.sample_offsets, testing::ElementsAre(0, 3, 3, 5));
  EXPECT_EQ(tokens.tokens_TD.sizes(), (at::IntArrayRef{5, 6}));
  EXPECT_EQ(tokens_of(tokens, Modality::audio).numel(), 5);
  EXPECT_TRUE(at::equal(tokens.token_id_T, at::tensor({0, 1, 2, 0, 1}, at::kLong)));
  EXPECT_TRUE(at::equal(tokens.position_TA[2], at::tensor({2.f, 0.f, 0.f})));
}

TEST(AudioConnector, FramesAfterTheSoundDoNotMatter) {
  AudioConnector connector({.frame_dim = 3, .stack = 4, .hidden = 5, .dim = 6});
  const at::Tensor frames_BLD = at::rand({1, 12, 3});
  at::Tensor other_BLD = frames_BLD.clone();
  other_BLD.slice(1, 6).fill_(9);
  EXPECT_TRUE(at::equal(connector.forward(frames_BLD, {6}).tokens_TD, connector.forward(other_BLD, {6}).tokens_TD));
  EXPECT_THROW(connector.forward(frames_BLD, {13}), ShapeError);
  EXPECT_THROW(connector.forward(frames_BLD, {6, 6}), ShapeError);
}

TEST(AudioConnector, GradientsReachEveryParameter) {
  AudioConnector connector({.frame_dim = 3, .stack = 2, .hidden = 5, .dim = 6});
  connector.forward(at::rand({2, 5, 3})).tokens_TD.pow(2).sum().backward();
  for (const auto& item : connector.named_parameters())
    EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0) << item.key();
}

}  // namespace
}  // namespace polyphony::audio
