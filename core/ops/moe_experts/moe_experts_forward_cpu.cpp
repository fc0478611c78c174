// SPDX-License-Identifier: Apache-2.0
// One task a block of rows: gather, first product, activation, second product; then the combine, one token after
// another.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>

#include <cstring>

#include "core/ops/bf16_product/bf16_product.h"
#include "core/ops/combine_rows/row_moves.h"
#include "core/ops/gated_activation/gated_activation_rows.h"
#include "core/ops/moe_experts/moe_experts_cpu.h"
#include "core/ops/moe_experts/row_blocks.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

template <class T>
ExpertsOutput forward(const ExpertsInput& in) {
  const DispatchPlan& plan = in.plan;
  const int64_t D = in.x_TD.size(1);
  const int64_t E = plan.num_experts;
  const int64_t R = plan.num_rows();
  const int64_t num_tokens = plan.num_tokens;
  const auto options = in.x_TD.options();
  ExpertsOutput out;
  out.h_R2F = at::empty({R, in.w13_E2FD.size(1)}, options);
  if (in.shared) out.shared_h_T2F = at::empty({num_tokens, in.shared->w13_2FD.size(0)}, options);
  const at::Tensor y_RD = at::empty({R, D}, options);
  const at::Tensor shared_y_TD = in.shared ? at::empty({num_tokens, D}, options) : at::Tensor();

  const T* x = in.x_TD.const_data_ptr<T>();
  const int64_t* token = plan.token_R.const_data_ptr<int64_t>();
  const auto blocks = row_blocks(plan, in.shared.has_value(), kRowsPerBlock);
  for_each_task(static_cast<int64_t>(blocks.size()), [&](int64_t i) {
    const RowBlock& block = blocks[static_cast<size_t>(i)];
    const bool shared = block.expert == E;
    at::Tensor x_block = shared ? in.x_TD.narrow(0, block.first, block.count) : at::empty({block.count, D}, options);
    if (!shared) {
      T* row = x_block.mutable_data_ptr<T>();
      for (int64_t r = 0; r < block.count; ++r)
        std::memcpy(row + r * D, x + token[block.first + r] * D, sizeof(T) * static_cast<size_t>(D));
    }
    const at::Tensor w13 = shared ? in.shared->w13_2FD : in.w13_E2FD.select(0, block.expert);
    const at::Tensor w2 = shared ? in.shared->w2_DF : in.w2_EDF.select(0, block.expert);
    const int64_t F = w2.size(1);
    at::Tensor h = (shared ? out.shared_h_T2F : out.h_R2F).narrow(0, block.first, block.count);
    at::Tensor y = (shared ? shared_y_TD : y_RD).narrow(0, block.first, block.count);
    product_on_this_thread(h, x_block, w13.t(), in.round_products);
    const at::Tensor a = at::empty({block.count, F}, options);
    const T* h_row = h.const_data_ptr<T>();
    T* a_row = a.mutable_data_ptr<T>();
    for (int64_t r = 0; r < block.count; ++r) gated_activation_row(h_row + r * 2 * F, a_row + r * F, F, in.activation);
    product_on_this_thread(y, a, w2.t(), in.round_products);
  });

  out.y_TD = sum_rows_of_tokens(y_RD, in.weight_N.index_select(0, plan.row_R), plan, shared_y_TD);
  return out;
}

}  // namespace

ExpertsOutput moe_experts_forward_cpu(const ExpertsInput& in) {
  const KernelsOnly guard;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, in.x_TD.scalar_type(), "moe_experts",
                                        [&] { return forward<scalar_t>(in); });
}

}  // namespace polyphony::ops
