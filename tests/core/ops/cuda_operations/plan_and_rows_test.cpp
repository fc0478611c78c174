// SPDX-License-Identifier: Apache-2.0
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/combine_rows/row_moves.h"
#include "core/ops/combine_rows/row_moves_cuda.h"
#include "core/ops/dispatch_plan/dispatch_plan_cpu.h"
#include "core/ops/dispatch_plan/dispatch_plan_cuda.h"
#include "core/ops/gated_activation/gated_activation_cuda.h"
#include "core/ops/quantized_matvec/quantized_matvec_cuda.h"
#include "core/ops/topk_softmax/topk_softmax.h"
#include "core/ops/topk_softmax/topk_softmax_cuda.h"
#include "tests/core/ops/cuda_operations/operation_test.h"

namespace polyphony::testing {
namespace {

using namespace polyphony::ops;

class CudaPlan : public CudaOperation {};
class CudaRows : public CudaOperation {};

void expect_same(const DispatchPlan& got, const DispatchPlan& want) {
  EXPECT_TRUE(at::equal(got.row_R.cpu(), want.row_R));
  EXPECT_TRUE(at::equal(got.token_R.cpu(), want.token_R));
  EXPECT_TRUE(at::equal(got.expert_R.cpu(), want.expert_R));
  EXPECT_TRUE(at::equal(got.offset_E1.cpu(), want.offset_E1));
  EXPECT_TRUE(at::equal(got.token_offset_T1.cpu(), want.token_offset_T1));
  EXPECT_TRUE(at::equal(got.slot_R.cpu(), want.slot_R));
  EXPECT_EQ(got.num_tokens, want.num_tokens);
  EXPECT_EQ(got.num_experts, want.num_experts);
  EXPECT_EQ(got.num_routing_rows, want.num_routing_rows);
}

TEST_F(CudaPlan, IsTheCpusToTheLastIndex) {
  struct Case {
    int64_t T, N, E, num_ids;
  };
  for (const Case& c :
       {Case{0, 0, 1, 1}, Case{1, 1, 1, 1}, Case{5, 0, 3, 3}, Case{17, 51, 4, 6}, Case{40, 320, 256, 256},
        Case{300, 2300, 7, 8}, Case{3, 30, 2, 1}, Case{9, 40, 600, 700}, Case{70000, 60, 5, 5}}) {
    SCOPED_TRACE(::testing::Message() << c.T << " tokens, " << c.N << " rows, " << c.E << " experts");
    // Tokens in any order, as expert choice gives them.
    const at::Tensor token = c.N == 0 ? at::empty({0}, at::kLong) : at::randint(c.T, {c.N}, at::kLong);
    const at::Tensor expert = at::randint(c.num_ids, {c.N}, at::kLong);
    expect_same(dispatch_plan_cuda(there(token), there(expert), c.T, c.E), dispatch_plan_cpu(token, expert, c.T, c.E));
  }
  const at::Tensor null = at::full({6}, 4, at::kLong);  // every row goes to null experts
  expect_same(dispatch_plan_cuda(there(at::arange(6)), there(null), 6, 4),
              dispatch_plan_cpu(at::arange(6), null, 6, 4));
}

TEST_F(CudaPlan, TakesStridedIds) {
  const at::Tensor token = at::randint(9, {30, 2}, at::kLong).select(1, 0);
  const at::Tensor expert = at::randint(5, {30, 2}, at::kLong).select(1, 1);
  expect_same(dispatch_plan_cuda(there(token), there(expert), 9, 4), dispatch_plan_cpu(token, expert, 9, 4));
}

TEST_F(CudaPlan, RefusesIdsOutOfRange) {
  const at::Tensor token = there(at::arange(4)), expert = there(at::zeros({4}, at::kLong));
  const auto message = [&](const at::Tensor& t, const at::Tensor& e) -> std::string {
    try {
      dispatch_plan_cuda(t, e, 4, 2);
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message(token, expert), "no error");
  EXPECT_EQ(message(token + 1, expert), "[dispatch_plan] token of row 3 must be in [0, 4)");
  EXPECT_EQ(message(token, expert - 1), "[dispatch_plan] expert of row 0 must not be negative");
}

TEST_F(CudaRows, GatherSumAndCombineGradientEqualTheCpu) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const double allowed = dtype == at::kFloat ? 1e-6 : 1e-2;
    const at::Tensor token = at::arange(21).repeat_interleave(3), expert = at::randint(6, {63}, at::kLong);
    const DispatchPlan plan = dispatch_plan_cpu(token, expert, 21, 5);
    const DispatchPlan device_plan = dispatch_plan_cuda(there(token), there(expert), 21, 5);
    const at::Tensor x = at::randn({21, 24}).to(dtype), y = at::randn({plan.num_rows(), 24}).to(dtype);
    const at::Tensor extra = at::randn({21, 24}).to(dtype);
    const at::Tensor weight = at::rand({63}), weight_R = weight.index_select(0, plan.row_R);
    EXPECT_EQ(distance(gather_rows_cuda(there(x), device_plan), gather_rows(x, plan)), 0);
    EXPECT_LE(distance(sum_rows_of_tokens_cuda(there(y), there(weight_R), device_plan, there(extra)),
                       sum_rows_of_tokens(y, weight_R, plan, extra)),
              allowed);
    const at::Tensor y_leaf = y.clone().requires_grad_(), weight_leaf = weight.clone().requires_grad_();
    const auto want = torch::autograd::grad({combine_rows(y_leaf, weight_leaf, plan)}, {y_leaf, weight_leaf}, {x});
    const auto got = combine_gradients_cuda(there(x), there(y), there(weight), device_plan);
    EXPECT_LE(distance(got.y_RD, want[0]), allowed);
    EXPECT_LE(distance(got.weight_N, want[1]), 10 * allowed);
  }
}

TEST_F(CudaRows, GatedActivationEqualsTheReference) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto activation : {Activation::silu, Activation::gelu}) {
      const at::Tensor h = (at::randn({13, 80}) * 3).to(dtype).requires_grad_(), da = at::randn({13, 40}).to(dtype);
      const at::Tensor want = gated_activation_reference(h, activation);
      const double allowed = dtype == at::kFloat ? 1e-5 : 1e-2;
      EXPECT_LE(distance(gated_activation_cuda(there(h.detach()), activation), want.detach()), allowed);
      EXPECT_LE(distance(gated_activation_gradient_cuda(there(h.detach()), there(da), activation).h_R2F,
                         torch::autograd::grad({want}, {h}, {da})[0]),
                allowed);
    }
}

TEST_F(CudaRows, TopkSoftmaxEqualsTheReference) {
  at::Tensor logits = at::randn({37, 50}) * 2;
  logits.masked_fill_(at::rand({37, 50}) < 0.9, -std::numeric_limits<double>::infinity());
  logits.requires_grad_();
  const TopkSoftmax want = topk_softmax_reference(logits, 6);
  const TopkSoftmax got = topk_softmax_cuda(there(logits.detach()), 6);
  EXPECT_TRUE(at::equal(got.expert_TK.cpu(), want.expert_TK));
  EXPECT_LE(distance(got.weight_TK, want.weight_TK.detach()), 1e-6);
  EXPECT_LE(distance(got.score_TE, want.score_TE), 1e-6);
  const at::Tensor dweight = at::randn({37, 6});
  EXPECT_LE(distance(topk_softmax_gradient_cuda(got.score_TE, got.expert_TK, there(dweight)),
                     torch::autograd::grad({want.weight_TK}, {logits}, {dweight})[0].nan_to_num(0)),
            1e-5);
}

TEST_F(CudaRows, QuantizedMatvecEqualsTheReference) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto format : {WeightFormat::int8, WeightFormat::int4})
      for (const int64_t K : {96, 71})
        for (const int64_t group : {0, 32}) {
          const QuantizedMatrices w = quantize_matrices(at::randn({3, 10, K}), format, group);
          QuantizedMatrices device_w = w;
          device_w.values = there(w.values);
          device_w.scales_ENG = there(w.scales_ENG);
          const at::Tensor x = at::randn({4, K}).to(dtype);
          const at::Tensor token = at::randint(4, {7}, at::kLong), expert = at::randint(3, {7}, at::kLong);
          const double allowed = dtype == at::kFloat ? 1e-5 : 1e-2;
          EXPECT_LE(distance(quantized_matvec_cuda(there(x), device_w, there(token), there(expert)),
                             quantized_matvec_reference(x, w, token, expert)),
                    allowed);
          EXPECT_LE(distance(quantized_matvec_cuda(there(x), device_w, {}, {}), quantized_matvec(x, w)), allowed);
        }
}

TEST_F(CudaRows, QuantizedMatvecRefusesWhatDoesNotFit) {
  const QuantizedMatrices w = quantize_matrices(at::randn({3, 10, 64}), WeightFormat::int4);
  const at::Tensor x = at::randn({4, 64}), id = at::zeros({5}, at::kLong);
  EXPECT_EQ(quantized_matvec(x, w, id, id).sizes(), (std::vector<int64_t>{5, 10}));
  EXPECT_THROW(quantized_matvec(at::randn({4, 63}), w, id, id), ShapeError);
  EXPECT_THROW(quantized_matvec(x.to(at::kDouble), w, id, id), ShapeError);
  EXPECT_THROW(quantized_matvec(x, w, id, {}), ShapeError);
  EXPECT_THROW(quantized_matvec(x, w, id, at::zeros({4}, at::kLong)), ShapeError);
  EXPECT_THROW(quantized_matvec(x, w, id, id.to(at::kInt)), ShapeError);
}

}  // namespace
}  // namespace polyphony::testing
