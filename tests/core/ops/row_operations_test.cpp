// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/gated_activation/gated_activation.h"
#include "core/ops/grouped_mlp/grouped_mlp.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "tests/support/gradcheck.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kTokens = 30;
constexpr int64_t kWidth = 200;  // more than one panel of the sum

DispatchPlan random_plan(int64_t num_tokens = kTokens, int64_t num_experts = 4) {
  return make_dispatch_plan(at::arange(num_tokens, at::kLong).repeat_interleave(2),
                            at::randint(num_experts + 1, {2 * num_tokens}, at::kLong), num_tokens, num_experts);
}

class RowOperations : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble).to(GetParam()); }
  at::Tensor random_weight(int64_t N) {
    return at::rand({N}, at::kDouble).to(GetParam() == at::kDouble ? at::kDouble : at::kFloat);
  }
  void expect_close(const at::Tensor& got, const at::Tensor& expected) {
    const double tolerance = GetParam() == at::kBFloat16 ? 4e-2 : 1e-5;
    EXPECT_EQ(got.scalar_type(), expected.scalar_type());
    const double largest = expected.abs().max().to(at::kDouble).item<double>();
    EXPECT_TRUE(at::allclose(got, expected, tolerance, tolerance * largest)) << (got - expected).abs().max();
  }
};

TEST_P(RowOperations, PermuteEqualsTheReference) {
  at::manual_seed(1);
  const DispatchPlan plan = random_plan();
  const at::Tensor x = random({kTokens, kWidth}).requires_grad_();
  const at::Tensor y = permute_rows(x, plan);
  EXPECT_TRUE(at::equal(y, permute_rows_reference(x, plan)));
  const at::Tensor dy = random(y.sizes());
  expect_close(torch::autograd::grad({y}, {x}, {dy})[0],
               at::zeros_like(x, at::kDouble).index_add(0, plan.token_R, dy.to(at::kDouble)).to(GetParam()));
}

TEST_P(RowOperations, CombineEqualsTheReference) {
  at::manual_seed(2);
  const DispatchPlan plan = random_plan();
  const at::Tensor y = random({plan.num_rows(), kWidth}).requires_grad_();
  const at::Tensor weight = random_weight(2 * kTokens).requires_grad_();
  const at::Tensor out = combine_rows(y, weight, plan);
  const at::Tensor expected = combine_rows_reference(y, weight, plan);
  expect_close(out, expected);
  const at::Tensor dout = random(out.sizes());
  const auto got = torch::autograd::grad({out}, {y, weight}, {dout});
  const auto want = torch::autograd::grad({expected}, {y, weight}, {dout});
  expect_close(got[0], want[0]);
  EXPECT_TRUE(at::allclose(got[1], want[1], 4e-2, 4e-2));
}

TEST_P(RowOperations, GatedActivationEqualsTheReference) {
  at::manual_seed(3);
  for (const Activation activation : {Activation::silu, Activation::gelu}) {
    const at::Tensor h = (random({70, 74}) * 8).requires_grad_();
    const at::Tensor a = gated_activation(h, activation);
    const at::Tensor expected = gated_activation_reference(h, activation);
    expect_close(a, expected);
    const at::Tensor da = random(a.sizes());
    expect_close(torch::autograd::grad({a}, {h}, {da})[0], torch::autograd::grad({expected}, {h}, {da})[0]);
  }
}

TEST_P(RowOperations, SingleOperationsInARowAreTheFusedOne) {
  at::manual_seed(4);
  const DispatchPlan plan = random_plan();
  const at::Tensor x = random({kTokens, 32}).requires_grad_();
  const at::Tensor weight = random_weight(2 * kTokens).requires_grad_();
  const at::Tensor w13 = (random({4, 48, 32}) * 0.2).detach().requires_grad_();
  const at::Tensor w2 = (random({4, 32, 24}) * 0.2).detach().requires_grad_();
  const at::Tensor fused = moe_experts(x, plan, weight, w13, w2);
  const at::Tensor composed = combine_rows(grouped_mlp(permute_rows(x, plan), plan, w13, w2), weight, plan);
  expect_close(composed, fused);
  const at::Tensor dy = random(fused.sizes());
  const auto got = torch::autograd::grad({composed}, {x, weight, w13, w2}, {dy});
  const auto want = torch::autograd::grad({fused}, {x, weight, w13, w2}, {dy});
  const double tolerance = GetParam() == at::kBFloat16 ? 6e-2 : 1e-4;
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::allclose(got[i], want[i], tolerance, tolerance)) << i;
}
INSTANTIATE_TEST_SUITE_P(Dtypes, RowOperations, ::testing::Values(at::kDouble, at::kFloat, at::kBFloat16));

TEST(CombineRows, IsTheInverseOfPermuteForOneExpert) {
  at::manual_seed(5);
  const DispatchPlan plan = make_dispatch_plan(at::randperm(9, at::kLong), at::zeros({9}, at::kLong), 9, 1);
  const at::Tensor x = at::randn({9, 5});
  EXPECT_TRUE(at::equal(combine_rows(permute_rows(x, plan), at::ones({9}), plan), x));
}

TEST(CombineRows, GradientsEqualCentralDifferences) {
  at::manual_seed(6);
  const DispatchPlan plan = random_plan(5, 3);
  testing::gradcheck(
      [&](const std::vector<at::Tensor>& t) { return combine_rows(permute_rows(t[0], plan), t[1], plan); },
      {at::randn({5, 3}, at::kDouble).requires_grad_(), at::rand({10}, at::kDouble).requires_grad_()});
}

TEST(GroupedMlp, GradientsEqualCentralDifferences) {
  at::manual_seed(7);
  const DispatchPlan plan = random_plan(5, 3);
  testing::gradcheck(
      [&](const std::vector<at::Tensor>& t) { return grouped_mlp(t[0], plan, t[1], t[2]); },
      {at::randn({plan.num_rows(), 3}, at::kDouble).requires_grad_(),
       at::randn({3, 4, 3}, at::kDouble).requires_grad_(), at::randn({3, 3, 2}, at::kDouble).requires_grad_()});
}

TEST(GatedActivation, GradientsEqualCentralDifferences) {
  at::manual_seed(8);
  for (const Activation activation : {Activation::silu, Activation::gelu})
    testing::gradcheck([&](const std::vector<at::Tensor>& t) { return gated_activation(t[0], activation); },
                       {at::randn({4, 6}, at::kDouble).requires_grad_()});
}

TEST(GatedActivation, KeepsNotANumberAndSurvivesExtremes) {
  for (const Activation activation : {Activation::silu, Activation::gelu}) {
    const at::Tensor gate = at::tensor({1e4f, -1e4f, 0.f, std::nanf("")});
    const at::Tensor y = gated_activation(at::cat({gate, at::ones({4})}).unsqueeze(0), activation)[0];
    EXPECT_EQ(y[0].item<float>(), 1e4f);
    EXPECT_NEAR(y[1].item<float>(), 0.f, 1e-20);
    EXPECT_EQ(y[2].item<float>(), 0.f);
    EXPECT_TRUE(std::isnan(y[3].item<float>()));
  }
}

TEST(RowOperationErrors, NameWhatDoesNotFit) {
  const DispatchPlan plan = random_plan();
  EXPECT_THROW(permute_rows(at::zeros({kTokens + 1, 4}), plan), ShapeError);
  EXPECT_THROW(permute_rows(at::zeros({kTokens, 4}, at::kInt), plan), ShapeError);
  EXPECT_THROW(combine_rows(at::zeros({plan.num_rows() + 1, 4}), at::zeros({2 * kTokens}), plan), ShapeError);
  EXPECT_THROW(combine_rows(at::zeros({plan.num_rows(), 4}), at::zeros({3}), plan), ShapeError);
  EXPECT_THROW(grouped_mlp(at::zeros({plan.num_rows(), 4}), plan, at::zeros({4, 6, 4}), at::zeros({4, 5, 3})),
               ShapeError);
  EXPECT_THROW(grouped_mlp(at::zeros({plan.num_rows(), 4}), plan, at::zeros({4, 5, 4}), at::zeros({4, 4, 3})),
               ShapeError);
  EXPECT_THROW(gated_activation(at::zeros({3, 5})), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
