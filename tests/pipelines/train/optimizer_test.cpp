// SPDX-License-Identifier: Apache-2.0
// The bf16 copies that the optimiser keeps: of which weights, until when, and without a trace in the results.
#include "pipelines/train/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "core/nn/linear.h"
#include "core/ops/bf16_copy/bf16_copy.h"
#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::pipelines {
namespace {

struct Net : torch::nn::Module {
  Net() {
    at::manual_seed(1);
    layer = register_module("layer", nn::Linear(17, 24));
    w13_E2FD = register_parameter("w13", 0.2 * at::randn({3, 26, 24}));
    w2_EDF = register_parameter("w2", 0.2 * at::randn({3, 24, 13}));
    kernel = register_parameter("kernel", at::ones({1, 1, 1, 1}));
  }
  at::Tensor loss(int64_t step) const {
    at::manual_seed(100 + static_cast<uint64_t>(step));
    const auto x_TD = at::randn({40, 17});
    const auto plan = ops::make_dispatch_plan(at::arange(40), at::randint(3, {40}, at::kLong), 40, 3);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const auto y_TD = ops::moe_experts(layer->forward(x_TD), plan, at::ones({40}), w13_E2FD, w2_EDF);
    at::autocast::set_autocast_enabled(at::kCPU, false);
    return (y_TD - 1).square().mean() * kernel.sum();
  }
  mutable nn::Linear layer{nullptr};
  at::Tensor w13_E2FD, w2_EDF, kernel;
};

bool has_copy(const at::Tensor& weight) { return !ops::bf16_copy_or_self(weight).is_same(weight); }

TEST(OptimizerCopies, AreOfMatricesAndBanksUntilSomethingElseChangesThem) {
  Net net;
  Optimizer optimizer(net, {});
  const auto all_have = [&] { return has_copy(net.layer->weight) && has_copy(net.w13_E2FD) && has_copy(net.w2_EDF); };
  const auto one_has = [&] { return has_copy(net.layer->weight) || has_copy(net.w13_E2FD) || has_copy(net.w2_EDF); };
  EXPECT_TRUE(all_have());
  EXPECT_FALSE(has_copy(net.layer->bias) || has_copy(net.kernel));
  const auto step = [&] {
    net.loss(0).backward();
    optimizer.step(1e-2, optimizer.grad_norm());
  };
  step();
  EXPECT_TRUE(all_have());
  optimizer.swap_ema();
  EXPECT_FALSE(one_has());
  optimizer.swap_ema();
  EXPECT_FALSE(one_has());
  step();
  EXPECT_TRUE(all_have());
  Net plain;
  const Optimizer off(plain, {.bf16_copies = false});
  EXPECT_FALSE(has_copy(plain.layer->weight) || has_copy(plain.w13_E2FD) || has_copy(plain.w2_EDF));
}

TEST(OptimizerCopies, ChangeNoBitOfFiveSteps) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const auto losses = [](bool copies) {
      Net net;
      Optimizer optimizer(net, {.bf16_copies = copies});
      std::vector<double> out;
      for (int64_t step = 0; step < 5; ++step) {
        if (step == 3) optimizer.swap_ema();
        auto loss = net.loss(step);
        loss.backward();
        optimizer.step(1e-2, optimizer.grad_norm());
        out.push_back(loss.item<double>());
      }
      return out;
    };
    EXPECT_EQ(losses(true), losses(false));
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace polyphony::pipelines
