// SPDX-License-Identifier: Apache-2.0
// Convolution channels: each image passes the filters of its expert, as if it were alone.
#include "moe/blocks/conv_channels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/gradcheck.h"

namespace polyphony::moe {
namespace {

Routing pathway(std::vector<int64_t> expert_B, int64_t E) {
  const auto B = static_cast<int64_t>(expert_B.size());
  Routing r{.num_tokens = B, .num_experts = E};
  r.token_N = at::arange(B);
  r.expert_N = at::tensor(expert_B, at::kLong);
  r.weight_N = at::ones({B});
  return r;
}

TEST(ConvChannels, WithOneExpertIsAConvolution) {
  ConvChannels conv({.in_channels = 3, .out_channels = 5, .num_experts = 1, .stride = 2});
  const auto x = at::randn({4, 3, 7, 6});
  const auto expected = at::conv2d(x, conv.parameters()[0][0], {}, 2, 1);
  EXPECT_TRUE(at::equal(conv.forward(x, pathway({0, 0, 0, 0}, 1)), expected));
}

TEST(ConvChannels, GivesEachImageTheFiltersOfItsExpert) {
  ConvChannels conv({.in_channels = 3, .out_channels = 5, .num_experts = 3});
  const auto x = at::randn({5, 3, 6, 6});
  const std::vector<int64_t> expert = {2, 0, 2, 1, 0};
  const auto y = conv.forward(x, pathway(expert, 3));
  for (int64_t b = 0; b < 5; ++b) {
    const auto alone = at::conv2d(x.narrow(0, b, 1), conv.parameters()[0][expert[static_cast<size_t>(b)]], {}, 1, 1);
    EXPECT_TRUE(at::allclose(y.narrow(0, b, 1), alone, 1e-5, 1e-5)) << b;
  }
}

TEST(ConvChannels, GivesNoGradientToFiltersThatNoImageUses) {
  ConvChannels conv({.in_channels = 2, .out_channels = 2, .num_experts = 3});
  conv.forward(at::randn({2, 2, 4, 4}), pathway({0, 2}, 3)).square().sum().backward();
  const auto grad_E = conv.parameters()[0].grad().abs().sum({1, 2, 3, 4});
  EXPECT_TRUE(at::equal(grad_E > 0, at::tensor({1, 0, 1}, at::kLong).to(at::kBool)));
}

TEST(ConvChannels, HasTheGradientsOfFiniteDifferences) {
  ConvChannels conv({.in_channels = 2, .out_channels = 2, .num_experts = 2});
  conv.to(at::kDouble);
  auto routing = pathway({0, 1}, 2);
  routing.weight_N = at::tensor({0.7, 1.3}, at::kDouble).requires_grad_();
  const auto x = at::randn({2, 2, 3, 3}, at::kDouble).requires_grad_();
  polyphony::testing::gradcheck([&](const auto&) { return conv.forward(x, routing); },
                                {x, routing.weight_N, conv.parameters()[0]});
}

TEST(ConvChannels, GivesZeroForNoRowsAndAnEmptyBatchForNoImages) {
  ConvChannels conv({.in_channels = 2, .out_channels = 3, .num_experts = 2});
  auto none = pathway({}, 2);
  EXPECT_EQ(conv.forward(at::zeros({0, 2, 4, 4}), none).sizes(), at::IntArrayRef({0, 3, 4, 4}));
  none.num_tokens = 2;
  EXPECT_EQ(conv.forward(at::randn({2, 2, 4, 4}), none).abs().max().item<float>(), 0);
}

TEST(ConvChannels, RefusesWhatDoesNotFit) {
  EXPECT_THROW(ConvChannels({.in_channels = 0, .out_channels = 3, .num_experts = 2}), ConfigError);
  ConvChannels conv({.in_channels = 2, .out_channels = 3, .num_experts = 2});
  EXPECT_THROW(conv.forward(at::randn({1, 3, 4, 4}), pathway({0}, 2)), ShapeError);
  EXPECT_THROW(conv.forward(at::randn({2, 2, 4, 4}), pathway({0}, 2)), ShapeError);
}

}  // namespace
}  // namespace polyphony::moe
