// SPDX-License-Identifier: Apache-2.0
// Copies are what products would round, are read where they hold, and never answer for other values.
#include "core/ops/bf16_copy/bf16_copy.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/linear.h>

#include <functional>

#include "core/error.h"
#include "core/ops/adamw/adamw.h"
#include "core/ops/bf16_product/bf16_product.h"
#include "core/ops/linear/linear.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "core/tensor_io.h"
#include "tests/support/threads.h"

namespace polyphony::ops {
namespace {

using polyphony::testing::Threads;

class Autocast {
 public:
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() { at::autocast::set_autocast_enabled(at::kCPU, false); }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

AdamwTensors with_state(const at::Tensor& weight, bool with_gradient = true) {
  return {.weight = weight,
          .gradient = with_gradient ? at::randn_like(weight) : at::Tensor(),
          .first = at::zeros_like(weight),
          .second = at::zeros_like(weight),
          .average = at::zeros_like(weight)};
}

void step(const std::vector<at::Tensor>& weights) {
  const c10::NoGradGuard no_grad;
  std::vector<AdamwTensors> tensors;
  for (const auto& weight : weights) tensors.push_back(with_state(weight));
  adamw_step_(tensors, {.learning_rate = 1e-2, .average_weight = 0.1});
}

bool carries(const at::Tensor& weight) { return !bf16_copy_or_self(weight).is_same(weight); }

TEST(Bf16Copy, IsTheRoundingOfTheWeightThatAdamwWrote) {
  at::manual_seed(1);
  for (const int threads : {1, 2})
    for (const bool with_gradient : {true, false}) {
      const Threads some(threads);
      std::vector<AdamwTensors> tensors;
      for (const auto& sizes : std::vector<std::vector<int64_t>>{
               {0}, {1}, {7}, {8}, {31}, {33}, {1024}, {1031}, {32769}, {70003}, {3, 5, 7}, {129, 257}}) {
        tensors.push_back(with_state(at::randn(sizes), with_gradient));
        keep_bf16_copy(tensors.back().weight);
      }
      tensors.push_back(with_state(at::randn({6, 10}).t(), with_gradient));  // strides of its own
      keep_bf16_copy(tensors.back().weight);
      for (int i = 0; i < 2; ++i) {
        for (const auto& t : tensors) {
          const auto copy = bf16_copy_or_self(t.weight);
          ASSERT_EQ(copy.scalar_type(), at::kBFloat16);
          EXPECT_EQ(copy.strides(), t.weight.strides());
          EXPECT_TRUE(at::equal(copy, t.weight.to(at::kBFloat16))) << t.weight.sizes() << ", step " << i;
        }
        adamw_step_(tensors, {.learning_rate = 1e-2});
      }
    }
}

TEST(Bf16Copy, IsWrittenByTheReferenceToo) {
  const auto weight = at::randn({5, 3});
  keep_bf16_copy(weight);
  const auto before = weight.clone();
  adamw_step_({with_state(weight), with_state(at::randn({2}, at::kDouble))}, {.learning_rate = 1e-2});
  EXPECT_FALSE(at::equal(weight, before));
  ASSERT_TRUE(carries(weight));
  EXPECT_TRUE(at::equal(bf16_copy_or_self(weight), weight.to(at::kBFloat16)));
}

TEST(Bf16Copy, RoundsAsTheProductsDoDownToTheSmallestValues) {
  at::manual_seed(2);
  const auto weight = at::randn({40, 70}) * at::pow(2.0, at::linspace(-149, -100, 70)), x = 1e20 * at::randn({9, 70});
  keep_bf16_copy(weight);
  const auto product_with = [&](const at::Tensor& w) {
    const auto out = at::empty({9, 40});
    bf16_product(out, x, w.t());
    return out;
  };
  ASSERT_TRUE(carries(weight));
  EXPECT_TRUE(at::equal(product_with(weight), product_with(bf16_copy_or_self(weight))));
}

TEST(Bf16Copy, IsNeverAnsweredForOtherValues) {
  struct Net : torch::nn::Module {
    Net() : layer(register_module("layer", torch::nn::Linear(8, 4))) {}
    torch::nn::Linear layer;
  } net;
  at::Tensor weight = net.layer->weight;
  const c10::NoGradGuard no_grad;
  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"in place", [&] { weight.mul_(2); }},
      {"copied into",
       [&] {
         weight.copy_(at::ones({4, 8}));
       }},
      {"through a view", [&] { weight.select(0, 1).fill_(3); }},
      {"through a detached tensor", [&] { weight.detach().add_(1); }},
      {"loaded",
       [&] {
         load_into(net, {{"layer.weight", at::randn({4, 8})}, {"layer.bias", at::zeros({4})}}, {});
       }},
      {"other memory",
       [&] {
         weight.set_data(at::randn({4, 8}));
       }},
      {"another dtype and back", [&] { net.to(at::kDouble), net.to(at::kFloat); }},
      {"LibTorch's step", [&] { adamw_step_reference_({with_state(weight.detach())}, {.learning_rate = 0.1}); }},
  };
  for (const auto& [name, change] : changes) {
    keep_bf16_copy(weight);
    ASSERT_TRUE(carries(weight)) << name;
    change();
    EXPECT_FALSE(carries(weight)) << name;
  }
  keep_bf16_copy(weight);
  weight.mul_(2);
  step({weight});
  ASSERT_TRUE(carries(weight)) << "a step of AdamW writes it anew";
  EXPECT_TRUE(at::equal(bf16_copy_or_self(weight), weight.to(at::kBFloat16)));
}

TEST(Bf16Copy, StaysWithTheTensorThatItWasMadeFor) {
  auto weight = at::randn({4, 8}).requires_grad_();
  keep_bf16_copy(weight);
  for (const auto& other : {weight.detach(), weight.data(), weight.view({8, 4}), weight.t(), weight[1], weight.clone()})
    EXPECT_FALSE(carries(other)) << other.sizes();
  const at::Tensor same = weight;
  EXPECT_TRUE(carries(same));
}

// Forward and gradients of a linear map and of a layer of experts, on the same weights.
struct Layers {
  explicit Layers(bool with_copies) {
    at::manual_seed(3);
    x_TD = at::randn({300, 33}).requires_grad_();
    plan = make_dispatch_plan(at::arange(300).repeat_interleave(2), at::randint(5, {600}, at::kLong), 300, 5);
    gate_N = at::rand({600});
    for (const auto& sizes : std::vector<std::vector<int64_t>>{{35, 33}, {5, 46, 35}, {5, 35, 23}, {20, 35}, {35, 10}})
      weights.push_back(at::randn(sizes).mul_(0.2).requires_grad_());
    for (const auto& weight : weights)
      if (with_copies) keep_bf16_copy(weight);
  }
  std::vector<at::Tensor> results() const {
    const Autocast region;
    const auto h_TD = ops::linear(x_TD, weights[0]);
    const auto y_TD = moe_experts(h_TD, plan, gate_N, weights[1], weights[2], SharedExpert{weights[3], weights[4]});
    auto inputs = weights;
    inputs.push_back(x_TD);
    auto out = torch::autograd::grad(std::vector<at::Tensor>{y_TD}, inputs,
                                     std::vector<at::Tensor>{at::sin(at::arange(y_TD.numel())).view(y_TD.sizes())});
    out.push_back(y_TD.detach());
    return out;
  }
  at::Tensor x_TD, gate_N;
  DispatchPlan plan;
  std::vector<at::Tensor> weights;
};

void expect_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(a[i], b[i])) << "result " << i;
  }
}

TEST(Bf16Copy, ChangesNoBitOfForwardAndGradients) {
  for (const int threads : {1, 2}) {
    const Threads some(threads);
    const Layers with(true), without(false);
    expect_same(with.results(), without.results());
    for (const auto* layers : {&with, &without}) {
      at::manual_seed(4);
      step(layers->weights);
    }
    ASSERT_TRUE(carries(with.weights[1]));
    expect_same(with.results(), without.results());
    for (const auto* layers : {&with, &without})
      for (const auto& weight : layers->weights) weight.detach().mul_(1.5);
    expect_same(with.results(), without.results());
  }
}

TEST(Bf16Copy, IsWhatProductsReadUnderAutocastAlone) {
  const Layers layers(true);
  const auto before = layers.results();
  const auto exact = ops::linear(layers.x_TD, layers.weights[0]);
  for (const auto& weight : layers.weights) carried_bf16_copy(weight).zero_();
  const auto after = layers.results();
  EXPECT_TRUE(at::equal(after.back(), at::zeros_like(after.back())));
  EXPECT_TRUE(at::equal(after[5], at::zeros_like(after[5]))) << "backward reads it too";
  EXPECT_FALSE(at::equal(before.back(), after.back()));
  EXPECT_TRUE(at::equal(ops::linear(layers.x_TD, layers.weights[0]), exact));
}

TEST(Bf16CopyErrors, NameWhatDoesNotFit) {
  EXPECT_THROW(keep_bf16_copy(at::Tensor()), ShapeError);
  EXPECT_THROW(keep_bf16_copy(at::ones({2, 2}, at::kDouble)), ShapeError);
  EXPECT_THROW(keep_bf16_copy(at::ones({2, 4}).narrow(1, 0, 2)), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
