// SPDX-License-Identifier: Apache-2.0
// A packed DiT-MoE against the golden float32 one, and what its packing may not change.
#include "pipelines/dit_moe/packed_model.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/dit_moe/guidance.h"
#include "pipelines/dit_moe/sampler.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

constexpr double kTolerance = 2e-2;  // root mean square, relative

std::shared_ptr<DitMoe> packed_golden() {
  const auto model = golden_model();
  model->pack();
  return model;
}

DitMoeInput input_of(int64_t B) {
  return {.x_BCHW = at::linspace(-2, 2, B * 4 * 8 * 8).sin().view({B, 4, 8, 8}),
          .t_B = at::linspace(0.1, 0.9, B),
          .y_B = at::arange(B, at::kLong)};
}

// Rows of the same token and expert, of all that there are.
double agreement(const moe::Routing& a, const moe::Routing& b) {
  const auto table = [](const moe::Routing& r) {
    return at::zeros({r.num_tokens, r.num_experts}).index_put_({r.token_N, r.expert_N}, at::ones({r.token_N.size(0)}));
  };
  return (table(a) * table(b)).sum().item<double>() / static_cast<double>(a.token_N.size(0));
}

TEST(PackedDitMoe, StaysCloseToFloat32) {
  const c10::InferenceMode inference;
  const auto expected = golden_model()->forward(input_of(4)), got = packed_golden()->forward(input_of(4));
  ASSERT_EQ(got.out_BCHW.scalar_type(), at::kFloat);
  ASSERT_EQ(got.out_BCHW.sizes(), expected.out_BCHW.sizes());
  EXPECT_LT(rms(got.out_BCHW - expected.out_BCHW), kTolerance * rms(expected.out_BCHW));
  ASSERT_EQ(got.routings.size(), expected.routings.size());
  for (size_t i = 0; i < got.routings.size(); ++i) EXPECT_GE(agreement(got.routings[i], expected.routings[i]), 0.98);
}

TEST(PackedDitMoe, StaysCloseWithNormedHeadsAndWithoutASharedExpert) {
  const c10::InferenceMode inference;
  at::manual_seed(4);
  const auto config = [] {
    auto c = golden_model()->config();
    c.qk_norm = true;
    c.num_shared_experts = 0;
    return c;
  }();
  const auto model = std::make_shared<DitMoe>(config);
  model->eval();
  for (auto& parameter : model->parameters()) {
    const double fan_in = parameter.dim() > 1 ? static_cast<double>(parameter.size(-1)) : 100;
    parameter.uniform_(-1, 1).mul_(std::sqrt(3 / fan_in));
  }
  const auto expected = model->forward(input_of(2)).out_BCHW;
  model->pack();
  const auto got = model->forward(input_of(2)).out_BCHW;
  EXPECT_LT(rms(got - expected), kTolerance * rms(expected));
}

TEST(PackedDitMoe, HasTheSameBitsForAnyNumberOfThreadsAndAnyCompany) {
  const c10::InferenceMode inference;
  const auto model = packed_golden();
  const auto in = input_of(6);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = model->forward(in).out_BCHW;
  at::set_num_threads(2);
  const auto two = model->forward(in).out_BCHW;
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, two));
  const auto alone = model->forward(
      {.x_BCHW = in.x_BCHW.narrow(0, 3, 1), .t_B = in.t_B.narrow(0, 3, 1), .y_B = in.y_B.narrow(0, 3, 1)});
  EXPECT_TRUE(at::equal(alone.out_BCHW, one.narrow(0, 3, 1)));
}

TEST(PackedDitMoe, ModulationsAheadChangeNoBit) {
  const c10::InferenceMode inference;
  const auto model = packed_golden();
  const auto x = input_of(2).x_BCHW;
  std::vector<double> times;
  for (int64_t left = 20; left > 0; --left) times.push_back(static_cast<double>(left) / 20);
  for (const double scale : {1.0, 4.0}) {
    const DitMoeGuidance plain{.y_N = at::tensor({3, 9}, at::kLong), .scale = scale};
    auto told = plain;
    told.times = times;
    const auto step = guided_velocity(model, plain), ahead = guided_velocity(model, told);
    for (const double t : {1.0, 0.95, 0.5, 0.05, 0.123}) EXPECT_TRUE(at::equal(ahead(x, t), step(x, t))) << t;
  }
}

TEST(PackedDitMoe, EverySamplerStaysCloseToFloat32) {
  const c10::InferenceMode inference;
  const auto model = golden_model(), packed = packed_golden();
  for (const auto sampler :
       {DitMoeSampler::euler, DitMoeSampler::ddpm, DitMoeSampler::ddim, DitMoeSampler::dpm_solver}) {
    const DitMoeSampling sampling{
        .sampler = sampler, .steps = 5, .guidance = {.y_N = at::tensor({1}, at::kLong), .scale = 2}, .seed = 3};
    const auto expected = sample_dit_moe(model, sampling).x;
    EXPECT_LT(rms(sample_dit_moe(packed, sampling).x - expected), 5 * kTolerance * rms(expected))
        << sampler_name(sampler);
  }
}

TEST(PackedDitMoe, GivesUpItsPlainWeights) {
  const auto model = packed_golden();
  int64_t left = 0;
  for (const auto& parameter : model->parameters()) left += parameter.numel();
  EXPECT_LT(left, count_parameters(model->config()).total / 4);
  const testing::TemporaryFolder folder;
  EXPECT_REFUSED(ConfigError, save_dit_moe(*model, folder.path()), "packed");
  const std::vector<moe::Routing> replay;
  EXPECT_REFUSED(ConfigError, model->forward(input_of(1), {.replay = &replay}), "packed");
  EXPECT_REFUSED(ConfigError, golden_model()->modulations(at::zeros({1}), at::zeros({1}, at::kLong)), "packed");
}

}  // namespace
}  // namespace polyphony::pipelines
