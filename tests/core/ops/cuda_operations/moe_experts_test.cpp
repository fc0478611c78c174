// SPDX-License-Identifier: Apache-2.0
#include "core/ops/moe_experts/moe_experts_cuda.h"
#include "tests/core/ops/cuda_operations/operation_test.h"

namespace polyphony::testing {
namespace {

using namespace polyphony::ops;

struct Case {
  int64_t T = 33;
  int64_t D = 32;
  int64_t F = 24;
  int64_t E = 5;
  int64_t K = 3;
  bool shared = false;
  Activation activation = Activation::silu;
};

ExpertsInput make_input(const Case& c, at::ScalarType dtype) {
  const at::Tensor token = at::arange(c.T).repeat_interleave(c.K);
  const at::Tensor expert = at::randint(c.E + 1, {c.T * c.K}, at::kLong);  // one null expert
  expert.masked_fill_(expert == 1, 0);                                     // and one without rows
  const auto make = [&](at::IntArrayRef sizes) { return (at::randn(sizes) / std::sqrt(c.D)).to(dtype); };
  ExpertsInput in{.x_TD = at::randn({c.T, c.D}).to(dtype),
                  .plan = make_dispatch_plan(token, expert, c.T, c.E),
                  .weight_N = at::rand({c.T * c.K}),
                  .w13_E2FD = make({c.E, 2 * c.F, c.D}),
                  .w2_EDF = make({c.E, c.D, c.F}),
                  .shared = std::nullopt,
                  .activation = c.activation,
                  .round_products = false};
  if (c.shared) in.shared = SharedExpert{make({2 * c.F + 16, c.D}), make({c.D, c.F + 8})};
  return in;
}

ExpertsInput there(const ExpertsInput& in) {
  ExpertsInput out = in;
  for (at::Tensor* t : {&out.x_TD, &out.weight_N, &out.w13_E2FD, &out.w2_EDF, &out.plan.row_R, &out.plan.token_R,
                        &out.plan.expert_R, &out.plan.offset_E1, &out.plan.token_offset_T1, &out.plan.slot_R})
    *t = testing::there(*t);
  if (in.shared) out.shared = SharedExpert{testing::there(in.shared->w13_2FD), testing::there(in.shared->w2_DF)};
  return out;
}

void expect_equals_cpu(const Case& c, at::ScalarType dtype, bool one_launch, const ExpertsWanted& wanted = {}) {
  SCOPED_TRACE(::testing::Message() << c.T << " tokens, " << dtype << ", one launch " << one_launch << ", shared "
                                    << c.shared);
  const ExpertsInput in = make_input(c, dtype), device_in = there(in);
  const at::Tensor dy = at::randn({c.T, c.D}).to(dtype);
  const ExpertsOutput want = moe_experts_forward_cpu(in), got = moe_experts_forward_cuda(device_in, one_launch);
  const double allowed = dtype == at::kFloat ? 1e-5 : 3e-2;
  EXPECT_LE(distance(got.y_TD, want.y_TD), allowed);
  EXPECT_LE(distance(got.h_R2F, want.h_R2F), allowed);
  const auto want_g = moe_experts_backward_cpu(in, want, dy, wanted);
  const auto got_g = moe_experts_backward_cuda(device_in, got, testing::there(dy), wanted, one_launch);
  const auto compare = [&](const char* name, const at::Tensor& g, const at::Tensor& w) {
    ASSERT_EQ(g.defined(), w.defined()) << name;
    if (!w.defined()) return;
    EXPECT_LE(distance(g, w), allowed) << name;
  };
  compare("x", got_g.x_TD, want_g.x_TD);
  compare("weight", got_g.weight_N, want_g.weight_N);
  compare("w13", got_g.w13_E2FD, want_g.w13_E2FD);
  compare("w2", got_g.w2_EDF, want_g.w2_EDF);
  compare("shared w13", got_g.shared_w13_2FD, want_g.shared_w13_2FD);
  compare("shared w2", got_g.shared_w2_DF, want_g.shared_w2_DF);
}

class CudaMoeExperts : public CudaOperation {};

TEST_F(CudaMoeExperts, OneProductAnExpertEqualsTheCpu) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const bool shared : {false, true}) {
      expect_equals_cpu({.shared = shared}, dtype, false);
      expect_equals_cpu({.T = 0, .shared = shared}, dtype, false);
      expect_equals_cpu({.T = 1, .D = 7, .F = 3, .K = 1, .shared = shared, .activation = Activation::gelu}, dtype,
                        false);
    }
}

TEST_F(CudaMoeExperts, AllExpertsInOneLaunchEqualTheCpu) {
  if (!has_one_launch()) GTEST_SKIP() << "at::_grouped_mm needs a GPU of sm_90";
  for (const bool shared : {false, true}) {
    expect_equals_cpu({.shared = shared, .activation = Activation::gelu}, at::kBFloat16, true);
    expect_equals_cpu({.T = 0, .shared = shared}, at::kBFloat16, true);
    expect_equals_cpu({.T = 1, .E = 40, .K = 1, .shared = shared}, at::kBFloat16, true);
  }
}

TEST_F(CudaMoeExperts, LeavesOutGradientsThatNobodyWants) {
  expect_equals_cpu({.shared = true}, at::kFloat, false,
                    {.x = false, .w13 = true, .w2 = false, .shared = false, .into = {}});
  expect_equals_cpu({.shared = true}, at::kFloat, false,
                    {.x = true, .w13 = false, .w2 = true, .shared = true, .into = {}});
}

TEST_F(CudaMoeExperts, GiveTheSameBitsAgain) {
  const ExpertsInput in = there(make_input({.shared = true}, at::kFloat));
  const auto run = [&] {
    const ExpertsOutput out = moe_experts_forward_cuda(in, false);
    const auto g = moe_experts_backward_cuda(in, out, out.y_TD, {}, false);
    return std::vector<at::Tensor>{out.y_TD, g.x_TD, g.weight_N, g.w13_E2FD, g.w2_EDF};
  };
  const auto first = run(), second = run();
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i], second[i])) << i;
}

}  // namespace
}  // namespace polyphony::testing
