// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/patchify.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

at::Tensor counting(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t side : shape) count *= side;
  return at::arange(count, at::kFloat).view(shape);
}

TEST(Patchify, IsUndoneByUnpatchifyInBothOrders) {
  for (const auto order : {PatchOrder::channel_first, PatchOrder::channel_last}) {
    for (const int64_t patch : {1, 2, 4}) {
      const at::Tensor latent = counting({3, 5, 8, 12});
      const PatchOptions options{.patch = patch, .order = order};
      const at::Tensor patches = patchify(latent, options);
      EXPECT_EQ(patches.sizes(), at::IntArrayRef({3 * (8 / patch) * (12 / patch), 5 * patch * patch}));
      EXPECT_TRUE(at::equal(unpatchify(patches, latent_grid(latent, patch), options), latent));
    }
  }
}

TEST(Patchify, ChannelFirstRowsTimesAFlattenedWeightAreAConvolution) {
  const at::Tensor latent = at::randn({2, 4, 6, 8}, at::kDouble), weight = at::randn({7, 4, 2, 2}, at::kDouble);
  const at::Tensor convolved = at::conv2d(latent, weight, {}, 2).permute({0, 2, 3, 1}).reshape({-1, 7});
  EXPECT_TRUE(at::allclose(patchify(latent, {}).matmul(weight.flatten(1).t()), convolved));
}

TEST(Patchify, ChannelLastHasTheChannelFastest) {
  const at::Tensor latent = counting({1, 3, 2, 2});
  const at::Tensor row = patchify(latent, {.patch = 2, .order = PatchOrder::channel_last}).select(0, 0);
  EXPECT_TRUE(at::equal(row, at::tensor({0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.}, at::kFloat)));
}

TEST(Patchify, RefusesSidesThatThePatchDoesNotDivide) {
  EXPECT_THROW(patchify(counting({1, 1, 3, 4}), {}), ShapeError);
  EXPECT_THROW(patchify(counting({1, 1, 4}), {}), ShapeError);
  EXPECT_THROW(patchify(counting({1, 1, 4, 4}), {.patch = 0}), ShapeError);
  EXPECT_THROW(unpatchify(counting({4, 4}), {.rows = 2, .columns = 3}, {}), ShapeError);
  EXPECT_THROW(unpatchify(counting({4, 5}), {.rows = 2, .columns = 2}, {}), ShapeError);
}

TEST(LatentSequence, GivesOneSampleAnImageAndOneSpanASample) {
  const TokenSequence sequence = latent_sequence(at::randn({2 * 2 * 3, 8}), {.batch = 2, .rows = 2, .columns = 3});
  EXPECT_NO_THROW(check_token_sequence(sequence));
  EXPECT_EQ(sequence.sample_offsets, (std::vector<int64_t>{0, 6, 12}));
  EXPECT_EQ(tokens_of(sequence, Modality::latent).numel(), 12);
  EXPECT_EQ(sequence.span_T.count_nonzero().item<int64_t>(), 0);
  const at::Tensor last = sequence.position_TA.select(0, 11);
  EXPECT_TRUE(at::equal(last, at::tensor({0., 1., 2.}, at::kFloat)));
  EXPECT_EQ(sequence.token_id_T[9].item<int64_t>(), 3);
}

TEST(LatentSequence, RefusesTokensThatDoNotFillTheGrid) {
  EXPECT_THROW(latent_sequence(at::randn({5, 8}), {.batch = 1, .rows = 2, .columns = 3}), ShapeError);
}

}  // namespace
}  // namespace polyphony::latent
