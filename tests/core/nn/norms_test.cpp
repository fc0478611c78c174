// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/nn/layer_norm.h"
#include "core/nn/rms_norm.h"
#include "tests/support/gradcheck.h"

namespace polyphony::nn {
namespace {

TEST(RmsNorm, GivesRowsOfRootMeanSquareOne) {
  at::manual_seed(1);
  const at::Tensor y = RmsNorm({.dim = 64}).forward(at::randn({5, 64}) * 7);
  EXPECT_TRUE(at::allclose(y.square().mean(-1), at::ones({5}), 1e-4, 1e-4));
}

TEST(RmsNorm, ComputesInF32AndReturnsTheInputsDtype) {
  at::manual_seed(2);
  const at::Tensor x = at::randn({4, 300}).to(at::kBFloat16);
  const at::Tensor weight = at::rand({300});
  const at::Tensor y = ops::rms_norm(x, weight, 1e-6);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(y, ops::rms_norm(x.to(at::kFloat), weight, 1e-6).to(at::kBFloat16)));
}

TEST(RmsNorm, GradientsEqualCentralDifferences) {
  at::manual_seed(3);
  testing::gradcheck([](const std::vector<at::Tensor>& t) { return ops::rms_norm(t[0], t[1], 1e-6); },
                     {at::randn({3, 5}, at::kDouble).requires_grad_(), at::rand({5}, at::kDouble).requires_grad_()});
}

TEST(RmsNorm, WithoutAffineHasNoParameters) {
  EXPECT_TRUE(RmsNorm({.dim = 8, .affine = false}).parameters().empty());
  EXPECT_THROW(RmsNorm({.dim = 0}), ShapeError);
}

TEST(LayerNorm, GivesRowsOfMeanZeroAndVarianceOne) {
  at::manual_seed(4);
  const at::Tensor y = LayerNorm({.dim = 64}).forward(at::randn({5, 64}) * 3 + 2);
  EXPECT_TRUE(at::allclose(y.mean(-1), at::zeros({5}), 0, 1e-5));
  EXPECT_TRUE(at::allclose(y.var(-1, false), at::ones({5}), 1e-4, 1e-4));
}

TEST(LayerNorm, WithBf16ParametersComputesInF32) {
  at::manual_seed(5);
  LayerNorm norm({.dim = 300});
  norm.to(at::kBFloat16);
  const at::Tensor x = at::randn({4, 300}).to(at::kBFloat16);
  const at::Tensor y = norm.forward(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(y, layer_norm(x.to(at::kFloat), {}, {}, 1e-6).to(at::kBFloat16)));
}

}  // namespace
}  // namespace polyphony::nn
