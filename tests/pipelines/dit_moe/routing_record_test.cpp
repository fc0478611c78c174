// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/routing_record.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "pipelines/dit_moe/sampler.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

// What a model of depth 3 with 16 patches and K = 2 chose, drawn for one picture.
RoutingRecord record_of(int64_t label, uint64_t seed, bool batched = true) {
  RoutingRecord record;
  DitMoeSampling sampling{.steps = 4, .guidance = {.y_N = at::full({1}, label, at::kLong), .scale = 3}, .seed = seed};
  sampling.guidance.batched = batched;
  sampling.guidance.on_routing = [&](double t, const std::vector<moe::Routing>& r) { add_step(record, t, r, 1); };
  const at::NoGradGuard no_grad;
  sample_dit_moe(golden_model(), sampling);
  return record;
}

TEST(RoutingRecord, HoldsEveryChoiceOfTheConditionalPass) {
  const auto record = record_of(3, 1);
  EXPECT_EQ(record.shape, (std::vector<int64_t>{4, 3, 1, 16, 2}));
  EXPECT_EQ(record.expert_ids.size(), 4u * 3 * 16 * 2);
  EXPECT_EQ(record.expert_weights.size(), record.expert_ids.size());
  EXPECT_EQ(record.timesteps, (std::vector<float>{1, 0.75, 0.5, 0.25}));
  // The same whether both halves ran in one pass or apart, so the unconditional half is in neither.
  EXPECT_EQ(record_of(3, 1, false).expert_ids, record.expert_ids);
}

TEST(RoutingRecord, IsThatOfTheFirstForwardPass) {
  const auto record = record_of(3, 1);
  const auto model = golden_model();
  const at::NoGradGuard no_grad;
  const auto noise = starting_noise(model->config(), {.guidance = {.y_N = at::zeros({1}, at::kLong)}, .seed = 1});
  const auto out = model->forward({.x_BCHW = noise, .t_B = at::ones({1}), .y_B = at::full({1}, 3, at::kLong)});
  for (int64_t layer = 0; layer < 3; ++layer) {
    const auto& routing = out.routings[static_cast<size_t>(layer)];
    for (int64_t row = 0; row < routing.token_N.size(0); ++row) {
      const auto token = routing.token_N[row].item<int64_t>();
      const auto* ids = record.expert_ids.data() + (layer * 16 + token) * 2;
      const auto expert = routing.expert_N[row].item<int64_t>();
      const auto place = (layer * 16 + token) * 2 + (ids[0] == expert ? 0 : 1);
      EXPECT_EQ(record.expert_ids[static_cast<size_t>(place)], expert) << layer << " " << token;
      EXPECT_NEAR(record.expert_weights[static_cast<size_t>(place)], routing.weight_N[row].item<float>(), 1e-5);
    }
  }
}

TEST(RoutingRecord, PutsPicturesSideBySide) {
  const auto a = record_of(3, 1), b = record_of(5, 2);
  const auto both = join_images({a, b});
  EXPECT_EQ(both.shape, (std::vector<int64_t>{4, 3, 2, 16, 2}));
  EXPECT_EQ(both.timesteps, a.timesteps);
  const int64_t inner = 16 * 2;
  for (int64_t outer = 0; outer < 12; ++outer)
    for (int64_t i = 0; i < inner; ++i) {
      EXPECT_EQ(both.expert_ids[static_cast<size_t>((2 * outer + 1) * inner + i)],
                b.expert_ids[static_cast<size_t>(outer * inner + i)]);
      EXPECT_EQ(both.expert_weights[static_cast<size_t>(2 * outer * inner + i)],
                a.expert_weights[static_cast<size_t>(outer * inner + i)]);
    }
  auto shorter = b;
  shorter.timesteps.pop_back();
  EXPECT_REFUSED(ShapeError, join_images({a, shorter}), "same steps");
  EXPECT_REFUSED(ShapeError, join_images({}), "at least one");
}

TEST(RoutingRecord, RefusesTokensWithDifferentNumbersOfChoices) {
  RoutingRecord record;
  const moe::Routing uneven{.token_N = at::tensor({0, 0, 1, 0}, at::kLong),
                            .expert_N = at::tensor({0, 1, 2, 3}, at::kLong),
                            .weight_N = at::ones({4}),
                            .num_tokens = 2,
                            .num_experts = 4};
  EXPECT_REFUSED(ShapeError, add_step(record, 1, {uneven}, 1), "2 choices of every token");
}

}  // namespace
}  // namespace polyphony::pipelines
