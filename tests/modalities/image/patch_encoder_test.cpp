// SPDX-License-Identifier: Apache-2.0
// Patches keep their order, and the encoder fills every field of the token sequence.
#include "modalities/image/patch_encoder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::image {
namespace {

TEST(PatchEncoder, PatchesRunRowByRowWithChannelRowColumnInside) {
  const at::Tensor pixels_BCYX = at::arange(2 * 3 * 4 * 6, at::kFloat).reshape({2, 3, 4, 6});
  const at::Tensor patch_BLV = patchify(pixels_BCYX, 2);
  ASSERT_EQ(patch_BLV.sizes(), (at::IntArrayRef{2, 6, 12}));
  const at::Tensor expected = pixels_BCYX[1].slice(1, 2, 4).slice(2, 2, 4).flatten();  // row 1, column 1
  EXPECT_TRUE(at::equal(patch_BLV[1][4], expected));
}

TEST(PatchEncoder, UnpatchifyIsTheInverseOfPatchify) {
  const at::Tensor pixels_BCYX = at::rand({2, 3, 8, 12});
  EXPECT_TRUE(at::equal(unpatchify(patchify(pixels_BCYX, 4), 4, 2), pixels_BCYX));
}

TEST(PatchEncoder, FillsEveryFieldOfTheSequence) {
  PatchEncoder encoder({.image_size = 8, .patch_size = 4, .dim = 5, .hidden = 7});
  const TokenSequence tokens = encoder.forward(at::rand({3, 3, 8, 8}));
  check_token_sequence(tokens);
  EXPECT_EQ(tokens.num_samples(), 3);
  EXPECT_EQ(tokens.num_tokens(), 12);
  EXPECT_THAT(tokens.sample_offsets, testing::ElementsAre(0, 4, 8, 12));
  EXPECT_TRUE(at::equal(tokens.token_id_T.slice(0, 4, 8), at::tensor({0, 1, 2, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(tokens.position_TA[6], at::tensor({0.f, 1.f, 0.f})));
  EXPECT_EQ(tokens_of(tokens, Modality::image).numel(), 12);
  EXPECT_TRUE(at::equal(tokens.span_T, at::zeros({12}, at::kLong)));
}

TEST(PatchEncoder, GradientsReachEveryParameter) {
  PatchEncoder encoder({.image_size = 8, .patch_size = 4, .dim = 5, .hidden = 7});
  encoder.forward(at::rand({1, 3, 8, 8})).tokens_TD.pow(2).sum().backward();
  for (const auto& item : encoder.named_parameters())
    EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0) << item.key();
}

TEST(PatchEncoder, RefusesWrongSizes) {
  EXPECT_THROW(PatchEncoder({.image_size = 10, .patch_size = 4}), ConfigError);
  PatchEncoder encoder({.image_size = 8, .patch_size = 4, .dim = 5, .hidden = 7});
  EXPECT_THROW(encoder.forward(at::rand({1, 3, 8, 4})), ShapeError);
  EXPECT_THROW(encoder.forward(at::rand({1, 1, 8, 8})), ShapeError);
}

}  // namespace
}  // namespace polyphony::image
