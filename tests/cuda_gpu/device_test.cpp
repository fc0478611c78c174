// SPDX-License-Identifier: Apache-2.0
// The public operations with their gradients on a GPU, against the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/device.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/grouped_mlp/grouped_mlp.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kTokens = 17;

// Outputs and gradients of everything that a MoE layer is made of.
std::vector<at::Tensor> results_on(const at::Device& device, const std::vector<at::Tensor>& inputs,
                                   const at::Tensor& expert) {
  std::vector<at::Tensor> t;
  for (const auto& input : inputs) t.push_back(input.to(device).detach().requires_grad_());
  const at::Tensor token = at::arange(kTokens).repeat_interleave(3).to(device);
  const DispatchPlan plan = make_dispatch_plan(token, expert.to(device), kTokens, 4);
  const at::Tensor fused = moe_experts(t[0], plan, t[1], t[2], t[3]);
  const at::Tensor composed = combine_rows(grouped_mlp(permute_rows(t[0], plan), plan, t[2], t[3]), t[1], plan);
  const at::Tensor chosen = topk_softmax(t[0], 4).weight_TK;
  std::vector<at::Tensor> results = {fused, composed, chosen};
  for (const at::Tensor& y : {fused.square().sum(), (composed * 2).square().sum()})
    for (const auto& g : torch::autograd::grad({y}, t)) results.push_back(g);
  results.push_back(torch::autograd::grad({chosen.square().sum()}, {t[0]})[0]);
  for (auto& r : results) r = r.detach().cpu();
  return results;
}

TEST(CudaDevice, ComputesWhatTheCpuComputes) {
  if (num_gpus() == 0) GTEST_SKIP() << "no GPU was found";
  const at::Device device = parse_device("cuda");
  at::manual_seed(4);
  const auto make = [](at::IntArrayRef sizes) { return at::randn(sizes) * 0.3; };
  const std::vector<at::Tensor> inputs = {make({kTokens, 32}), make({3 * kTokens}), make({4, 48, 32}),
                                          make({4, 32, 24})};
  const at::Tensor expert = at::randint(5, {3 * kTokens}, at::kLong);
  const auto want = results_on(at::kCPU, inputs, expert), got = results_on(device, inputs, expert);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(at::allclose(got[i], want[i], 1e-3, 1e-4)) << i;
}

}  // namespace
}  // namespace polyphony::ops
