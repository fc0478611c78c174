// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/support/gradcheck.h"

namespace polyphony::nn {
namespace {

TEST(Rope, PositionZeroLeavesHeadsAsTheyAre) {
  at::manual_seed(1);
  const RopeTable table = make_rope_table(at::zeros({3, 3}), {.axis_dims = {4, 6, 6}});
  const at::Tensor x = at::randn({3, 2, 16});
  EXPECT_TRUE(at::equal(apply_rope(x, table), x));
}

TEST(Rope, DotProductsDependOnlyOnPositionDifferences) {
  at::manual_seed(2);
  const at::Tensor q = at::randn({1, 1, 16});
  const at::Tensor k = at::randn({1, 1, 16});
  const auto dot = [&](const at::Tensor& at_q, const at::Tensor& at_k) {
    const RopeOptions options{.axis_dims = {8, 4, 4}};
    const at::Tensor turned_q = apply_rope(q, make_rope_table(at_q, options));
    const at::Tensor turned_k = apply_rope(k, make_rope_table(at_k, options));
    return (turned_q * turned_k).sum().item<double>();
  };
  const at::Tensor a = at::tensor({5.f, 1.f, 2.f}).unsqueeze(0);
  const at::Tensor b = at::tensor({9.f, 4.f, 0.f}).unsqueeze(0);
  const at::Tensor shift = at::tensor({11.f, 3.f, 7.f}).unsqueeze(0);
  EXPECT_NEAR(dot(a, b), dot(a + shift, b + shift), 1e-4);
  EXPECT_GT(std::abs(dot(a, b) - dot(a, b + shift)), 1e-3);
}

TEST(Rope, ChannelITurnsWithChannelIPlusHalfByTheAngleOfItsAxis) {
  const RopeTable table = make_rope_table(at::tensor({1.f, 2.f}).view({1, 2}), {.axis_dims = {2, 4}, .theta = 100.0});
  at::Tensor x = at::zeros({1, 1, 6});
  x[0][0][2] = 1;  // turns with channel 5 by the second frequency of axis 1
  const at::Tensor y = apply_rope(x, table)[0][0];
  const double angle = 2.0 * std::pow(100.0, -2.0 / 4.0);
  EXPECT_NEAR(y[2].item<double>(), std::cos(angle), 1e-6);
  EXPECT_NEAR(y[5].item<double>(), std::sin(angle), 1e-6);
  EXPECT_NEAR(y.square().sum().item<double>(), 1.0, 1e-6);
}

TEST(Rope, GradientsEqualCentralDifferences) {
  at::manual_seed(3);
  RopeTable table = make_rope_table(at::rand({4, 1}) * 10, {.axis_dims = {6}});
  table.cos_TD = table.cos_TD.to(at::kDouble);
  table.sin_TD = table.sin_TD.to(at::kDouble);
  testing::gradcheck([&](const std::vector<at::Tensor>& t) { return apply_rope(t[0], table); },
                     {at::randn({4, 2, 6}, at::kDouble).requires_grad_()});
}

TEST(Rope, Bf16IsTurnedInF32) {
  at::manual_seed(4);
  const RopeTable table = make_rope_table(at::rand({4, 1}) * 100, {.axis_dims = {8}});
  const at::Tensor x = at::randn({4, 2, 8}).to(at::kBFloat16);
  EXPECT_TRUE(at::equal(apply_rope(x, table), apply_rope(x.to(at::kFloat), table).to(at::kBFloat16)));
}

TEST(Rope, RefusesWidthsThatDoNotFit) {
  EXPECT_THROW(make_rope_table(at::zeros({3, 2}), {.axis_dims = {4, 4, 4}}), ShapeError);
  EXPECT_THROW(make_rope_table(at::zeros({3, 1}), {.axis_dims = {3}}), ShapeError);
  const RopeTable table = make_rope_table(at::zeros({3, 1}), {.axis_dims = {8}});
  EXPECT_THROW(apply_rope(at::zeros({3, 2, 6}), table), ShapeError);
  EXPECT_THROW(apply_rope(at::zeros({4, 2, 8}), table), ShapeError);
}

}  // namespace
}  // namespace polyphony::nn
