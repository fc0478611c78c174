// SPDX-License-Identifier: Apache-2.0
// Small operations for a tool that counts instructions: what a function named measured_X executes is X's count. One
// thread; run it at POLYPHONY_CPU_LEVEL=avx2, since such tools do not know AMX (scripts/bench/instructions.py).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/ops/packed_product/packed_product.h"
#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::bench {
namespace {

constexpr int64_t kT = 96, kD = 128, kF = 96, kE = 8, kK = 2;

struct Layer {
  at::Tensor x_TD, w13_E2FD, w2_EDF, token_N, expert_N, weight_N, logits_TE;
  ops::DispatchPlan plan;
  ops::PackedExperts bf16, int8, int4;
};

ops::PackedExperts packed(const Layer& l, ops::WeightFormat format) {
  return {.w13 = ops::pack_matrices(l.w13_E2FD, format, /*gated=*/true), .w2 = ops::pack_matrices(l.w2_EDF, format)};
}

Layer make_layer() {
  at::manual_seed(1);
  Layer l;
  l.x_TD = at::randn({kT, kD}).to(at::kBFloat16);
  l.w13_E2FD = (at::randn({kE, 2 * kF, kD}) * 0.05).to(at::kBFloat16);
  l.w2_EDF = (at::randn({kE, kD, kF}) * 0.05).to(at::kBFloat16);
  l.logits_TE = at::randn({kT, kE});
  const auto [weight_TK, expert_TK] = l.logits_TE.softmax(-1).topk(kK, -1);
  l.token_N = at::arange(kT, at::kLong).repeat_interleave(kK);
  l.expert_N = expert_TK.flatten();
  l.weight_N = weight_TK.flatten();
  l.plan = ops::make_dispatch_plan(l.token_N, l.expert_N, kT, kE);
  l.bf16 = packed(l, ops::WeightFormat::bf16);
  l.int8 = packed(l, ops::WeightFormat::int8);
  l.int4 = packed(l, ops::WeightFormat::int4);
  return l;
}

Layer& layer() {
  static Layer made = make_layer();
  return made;
}

}  // namespace
}  // namespace polyphony::bench

using namespace polyphony;
using bench::layer;

// Not inlined and not mangled, so that the tool finds them by their names.
#define MEASURED extern "C" [[gnu::noinline]] void

MEASURED measured_dispatch_plan() { ops::make_dispatch_plan(layer().token_N, layer().expert_N, bench::kT, bench::kE); }
MEASURED measured_topk_softmax() { ops::topk_softmax(layer().logits_TE, bench::kK); }
MEASURED measured_moe_experts_forward() {
  const c10::InferenceMode inference;
  auto& l = layer();
  ops::moe_experts(l.x_TD, l.plan, l.weight_N, l.w13_E2FD, l.w2_EDF);
}
MEASURED measured_moe_experts_train() {
  auto& l = layer();
  const auto x_TD = l.x_TD.detach().requires_grad_();
  const auto w13_E2FD = l.w13_E2FD.detach().requires_grad_();
  const auto w2_EDF = l.w2_EDF.detach().requires_grad_();
  ops::moe_experts(x_TD, l.plan, l.weight_N, w13_E2FD, w2_EDF).backward(l.x_TD);
}
MEASURED measured_packed_experts_bf16() {
  ops::packed_experts(layer().x_TD, layer().plan, layer().weight_N, layer().bf16);
}
MEASURED measured_packed_experts_int8() {
  ops::packed_experts(layer().x_TD, layer().plan, layer().weight_N, layer().int8);
}
MEASURED measured_packed_experts_int4() {
  ops::packed_experts(layer().x_TD, layer().plan, layer().weight_N, layer().int4);
}

int main() {
  at::set_num_threads(1);
  layer();  // made before anything is counted
  for (const auto operation :
       {&measured_dispatch_plan, &measured_topk_softmax, &measured_moe_experts_forward, &measured_moe_experts_train,
        &measured_packed_experts_bf16, &measured_packed_experts_int8, &measured_packed_experts_int4})
    for (int i = 0; i < 2; ++i) operation();  // the first one sets up what is made once
}
