// SPDX-License-Identifier: Apache-2.0
// What the CUDA kernels compute, element by element on the CPU; and the operations on a GPU where there is one.
#include "core/ops/cuda_elements.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/device.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/moe_experts/moe_experts.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kTokens = 17;
constexpr int64_t kWidth = 11;

DispatchPlan random_plan() {
  return make_dispatch_plan(at::arange(kTokens, at::kLong).repeat_interleave(3),
                            at::randint(5, {3 * kTokens}, at::kLong), kTokens, 4);
}

// What the launcher does on a GPU; backwards, so that an element that reads another's result is noticed.
template <class Element>
void run_on_cpu(const Element& element) {
  for (int64_t i = element.count() - 1; i >= 0; --i) element(i);
}

TEST(CudaElements, PermuteGathersRows) {
  at::manual_seed(1);
  const DispatchPlan plan = random_plan();
  const at::Tensor x = at::randn({kTokens, kWidth});
  const at::Tensor out = at::empty({plan.num_rows(), kWidth});
  run_on_cpu(PermuteRowsElement<float>{x.const_data_ptr<float>(), plan.token_R.const_data_ptr<int64_t>(),
                                       out.mutable_data_ptr<float>(), plan.num_rows(), kWidth});
  EXPECT_TRUE(at::equal(out, permute_rows_reference(x, plan)));
}

TEST(CudaElements, CombineSumsRowsInF32) {
  at::manual_seed(2);
  const DispatchPlan plan = random_plan();
  const at::Tensor y = at::randn({plan.num_rows(), kWidth}).to(at::kBFloat16);
  const at::Tensor weight = at::rand({3 * kTokens});
  const at::Tensor weight_R = weight.index_select(0, plan.row_R);
  const at::Tensor out = at::empty({kTokens, kWidth}, at::kBFloat16);
  run_on_cpu(CombineRowsElement<c10::BFloat16>{y.const_data_ptr<c10::BFloat16>(), weight_R.const_data_ptr<float>(),
                                               plan.token_offset_T1.const_data_ptr<int64_t>(),
                                               plan.slot_R.const_data_ptr<int64_t>(),
                                               out.mutable_data_ptr<c10::BFloat16>(), kTokens, kWidth});
  EXPECT_TRUE(at::allclose(out, combine_rows(y, weight, plan), 1e-2, 1e-2));
}

TEST(CudaElements, GatedActivationAndItsGradientEqualTheReference) {
  at::manual_seed(3);
  for (const bool gelu : {false, true}) {
    const Activation activation = gelu ? Activation::gelu : Activation::silu;
    const at::Tensor h = (at::randn({kTokens, 2 * kWidth}) * 4).requires_grad_();
    const at::Tensor da = at::randn({kTokens, kWidth});
    const at::Tensor a = at::empty({kTokens, kWidth});
    const at::Tensor dh = at::empty({kTokens, 2 * kWidth});
    run_on_cpu(
        GatedActivationElement<float>{h.const_data_ptr<float>(), a.mutable_data_ptr<float>(), kTokens, kWidth, gelu});
    run_on_cpu(GatedActivationGradient<float>{h.const_data_ptr<float>(), da.const_data_ptr<float>(),
                                              dh.mutable_data_ptr<float>(), kTokens, kWidth, gelu});
    const at::Tensor expected = gated_activation_reference(h, activation);
    EXPECT_TRUE(at::allclose(a, expected, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(dh, torch::autograd::grad({expected}, {h}, {da})[0], 1e-4, 1e-5));
  }
}

TEST(CudaDevice, ComputesWhatTheCpuComputes) {
  if (num_gpus() == 0) GTEST_SKIP() << "no GPU was found";
  const at::Device device = parse_device("cuda");
  at::manual_seed(4);
  const auto make = [](at::IntArrayRef sizes) { return at::randn(sizes) * 0.3; };
  const at::Tensor token = at::arange(kTokens, at::kLong).repeat_interleave(3);
  const at::Tensor expert = at::randint(5, {3 * kTokens}, at::kLong);
  const std::vector<at::Tensor> inputs = {make({kTokens, 32}), make({3 * kTokens}), make({4, 48, 32}),
                                          make({4, 32, 24})};
  std::vector<std::vector<at::Tensor>> results;
  for (const at::Device where : {at::Device(at::kCPU), device}) {
    std::vector<at::Tensor> t;
    for (const auto& input : inputs) t.push_back(input.to(where).detach().requires_grad_());
    const DispatchPlan plan = make_dispatch_plan(token.to(where), expert.to(where), kTokens, 4);
    const at::Tensor y = moe_experts(t[0], plan, t[1], t[2], t[3]);
    auto result = torch::autograd::grad({y.square().sum()}, t);
    result.push_back(y.detach());
    result.push_back(topk_softmax(t[0].detach(), 4).weight_TK);
    for (auto& r : result) r = r.cpu();
    results.push_back(result);
  }
  for (size_t i = 0; i < results[0].size(); ++i)
    EXPECT_TRUE(at::allclose(results[1][i], results[0][i], 1e-3, 1e-4)) << i;
}

}  // namespace
}  // namespace polyphony::ops
