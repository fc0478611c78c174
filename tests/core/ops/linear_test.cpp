// SPDX-License-Identifier: Apache-2.0
#include "core/ops/linear/linear.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "core/nn/linear.h"

namespace polyphony::ops {
namespace {

class Autocast {
 public:
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() { at::autocast::set_autocast_enabled(at::kCPU, false); }
};

struct Case {
  at::Tensor x, weight, bias;
  std::vector<at::Tensor> inputs() const {
    return bias.defined() ? std::vector<at::Tensor>{x, weight, bias} : std::vector<at::Tensor>{x, weight};
  }
};

Case make_case(at::IntArrayRef x_sizes, int64_t out, bool with_bias, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(1);
  const int64_t in = x_sizes.back();
  Case c{at::randn(x_sizes).to(dtype), (at::randn({out, in}) / std::sqrt(static_cast<double>(in))).to(dtype), {}};
  if (with_bias) c.bias = at::randn({out}).to(dtype);
  for (auto& t : {c.x, c.weight}) t.requires_grad_();
  if (with_bias) c.bias.requires_grad_();
  return c;
}

std::vector<at::Tensor> with_gradients(const at::Tensor& y, const Case& c) {
  auto out = torch::autograd::grad({y}, c.inputs(), {at::sin(at::arange(y.numel())).view(y.sizes()).to(y.dtype())});
  out.insert(out.begin(), y.detach());
  return out;
}

double distance(const at::Tensor& got, const at::Tensor& expected) {
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).norm() / expected.to(at::kDouble).norm()).item<double>();
}

TEST(Linear, EqualsLibTorchsInBf16AndUnderAutocast) {
  for (const bool with_bias : {false, true})
    for (const auto& sizes : std::vector<std::vector<int64_t>>{{3, 300, 40}, {1, 7}, {65}})
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        const Case c = make_case(sizes, 600, with_bias, dtype);
        const auto expected = with_gradients(at::linear(c.x, c.weight, c.bias), c);
        std::vector<at::Tensor> got;
        {
          const Autocast region;
          got = with_gradients(ops::linear(c.x, c.weight, c.bias), c);
        }
        ASSERT_EQ(got[0].sizes(), expected[0].sizes());
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_EQ(got[i].scalar_type(), dtype);
          EXPECT_LT(distance(got[i], expected[i]), 1e-2) << sizes << ", result " << i;
        }
      }
}

TEST(Linear, WithoutAutocastIsLibTorchsInF32) {
  const Case c = make_case({5, 40}, 30, true);
  EXPECT_TRUE(at::equal(ops::linear(c.x, c.weight, c.bias), at::linear(c.x, c.weight, c.bias)));
}

TEST(Linear, GivesTheSameBitsForOneAndTwoThreads) {
  const int threads = at::get_num_threads();
  const Case c = make_case({700, 90}, 1100, true);
  std::vector<std::vector<at::Tensor>> results;
  for (const int n : {1, 2}) {
    at::set_num_threads(n);
    const Autocast region;
    results.push_back(with_gradients(ops::linear(c.x, c.weight, c.bias), c));
  }
  at::set_num_threads(threads);
  for (size_t i = 0; i < results[0].size(); ++i) EXPECT_TRUE(at::equal(results[0][i], results[1][i])) << i;
}

TEST(Linear, LeavesOutGradientsThatNobodyWants) {
  Case c = make_case({5, 40}, 30, true);
  c.x = c.x.detach();
  c.bias = c.bias.detach();
  const Autocast region;
  ops::linear(c.x, c.weight, c.bias).sum().backward();
  EXPECT_TRUE(c.weight.grad().defined());
  EXPECT_FALSE(c.x.grad().defined());
  EXPECT_FALSE(c.bias.grad().defined());
}

TEST(Linear, OfNoRowsIsEmpty) {
  const Case c = make_case({0, 40}, 30, true);
  const Autocast region;
  const auto got = with_gradients(ops::linear(c.x, c.weight, c.bias), c);
  EXPECT_EQ(got[0].sizes(), at::IntArrayRef({0, 30}));
  EXPECT_TRUE(at::equal(got[2], at::zeros({30, 40})));
}

TEST(Linear, AsAModuleHasLibTorchsParameters) {
  const nn::Linear ours(40, 30);
  const torch::nn::Linear theirs(40, 30);
  ASSERT_EQ(ours->named_parameters().keys(), theirs->named_parameters().keys());
  for (const auto& item : theirs->named_parameters())
    EXPECT_EQ(ours->named_parameters()[item.key()].sizes(), item.value().sizes());
}

TEST(LinearErrors, NameWhatDoesNotFit) {
  EXPECT_THROW(ops::linear(at::ones({2, 3}), at::ones({4, 5})), ShapeError);
  EXPECT_THROW(ops::linear(at::ones({2, 5}), at::ones({4, 5}), at::ones({5})), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
