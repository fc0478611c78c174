// SPDX-License-Identifier: Apache-2.0
// Two rounds of tasks. Round one, a block of rows each: gradients down to x. Round two, a block of one bank's output
// rows each: the banks' gradients. The output of the second product is not needed: <dy, y> = <W2^T dy, a>. Source:
// SonicMoE (arXiv:2512.14080), which saves what the first product gave and nothing behind it.
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

// What round one leaves for round two, for the routed rows or for the shared expert's.
struct Rows {
  at::Tensor x_RD;   // gathered
  at::Tensor dy_RD;  // gathered, not weighted
  at::Tensor h_R2F;
  at::Tensor dh_R2F;
  at::Tensor a_RF;  // weighted
  at::Tensor dx_RD;
};

Rows make_rows(const at::Tensor& h_R2F, int64_t D) {
  const int64_t R = h_R2F.size(0);
  return {.x_RD = {},
          .dy_RD = {},
          .h_R2F = h_R2F,
          .dh_R2F = at::empty_like(h_R2F),
          .a_RF = at::empty({R, h_R2F.size(1) / 2}, h_R2F.options()),
          .dx_RD = at::empty({R, D}, h_R2F.options())};
}

template <class T>
void gather(const at::Tensor& from_TD, const int64_t* token, const at::Tensor& to_RD, const RowBlock& block) {
  const int64_t D = from_TD.size(1);
  const T* from = from_TD.const_data_ptr<T>();
  T* to = to_RD.mutable_data_ptr<T>();
  for (int64_t r = block.first; r < block.first + block.count; ++r)
    std::memcpy(to + r * D, from + token[r] * D, sizeof(T) * static_cast<size_t>(D));
}

struct Banks {
  at::Tensor w13_2FD;
  at::Tensor w2_DF;
};

Banks banks_of(const ExpertsInput& in, int64_t expert) {
  if (expert == in.plan.num_experts) return {in.shared->w13_2FD, in.shared->w2_DF};
  return {in.w13_E2FD.select(0, expert), in.w2_EDF.select(0, expert)};
}

// Gradients of a block's rows. weight null means 1 (the shared expert); weight_gradient may then be null too.
template <class T>
void rows_backward(const Rows& rows, const Banks& banks, const RowBlock& block, const Compute<T>* weight,
                   Compute<T>* weight_gradient, const ExpertsInput& in, bool want_x) {
  const int64_t F = banks.w2_DF.size(1);
  const auto of_block = [&](const at::Tensor& all) -> at::Tensor { return all.narrow(0, block.first, block.count); };
  const at::Tensor da = at::empty({block.count, F}, rows.h_R2F.options());
  product_on_this_thread(da, of_block(rows.dy_RD), banks.w2_DF, in.round_products);
  at::Tensor dh = of_block(rows.dh_R2F);
  const T* da_row = da.const_data_ptr<T>();
  const T* h_row = rows.h_R2F.const_data_ptr<T>() + block.first * 2 * F;
  T* dh_row = dh.mutable_data_ptr<T>();
  T* a_row = rows.a_RF.mutable_data_ptr<T>() + block.first * F;
  for (int64_t r = 0; r < block.count; ++r) {
    const Compute<T> w = weight ? weight[block.first + r] : Compute<T>(1);
    const Compute<T> dot = gated_activation_row_backward(h_row + r * 2 * F, da_row + r * F, w, dh_row + r * 2 * F,
                                                         a_row + r * F, F, in.activation);
    if (weight_gradient) weight_gradient[block.first + r] = dot;
  }
  if (!want_x) return;
  at::Tensor dx = of_block(rows.dx_RD);
  product_on_this_thread(dx, dh, banks.w13_2FD, in.round_products);
}

// Both operands of a task are packed anew: the larger the task, the less of that.
constexpr int64_t kRowsPerBank = 2048;

// out[first .. first + count) of the product left_RM^T right_RN over the rows of an expert: a task of round two.
struct BankTask {
  at::Tensor out_MN;
  at::Tensor left_RM;
  at::Tensor right_RN;
  bool add;
};

void add_bank_tasks(std::vector<BankTask>& tasks, const at::Tensor& out_MN, const at::Tensor& left_RM,
                    const at::Tensor& right_RN, bool add) {
  for (int64_t first = 0; first < out_MN.size(0); first += kRowsPerBank) {
    const int64_t count = std::min(kRowsPerBank, out_MN.size(0) - first);
    tasks.push_back({out_MN.narrow(0, first, count), left_RM.narrow(1, first, count), right_RN, add});
  }
}

template <class T>
ExpertsGradient backward(const ExpertsInput& in, const ExpertsOutput& out, const at::Tensor& dy_TD,
                         const ExpertsWanted& wanted) {
  const DispatchPlan& plan = in.plan;
  const int64_t D = in.x_TD.size(1);
  const int64_t E = plan.num_experts;
  const auto options = in.x_TD.options();
  Rows routed = make_rows(out.h_R2F, D);
  routed.x_RD = at::empty({plan.num_rows(), D}, options);
  routed.dy_RD = at::empty({plan.num_rows(), D}, options);
  Rows shared;
  if (in.shared) {
    shared = make_rows(out.shared_h_T2F, D);
    shared.x_RD = in.x_TD;
    shared.dy_RD = dy_TD;
  }
  const at::Tensor weight_R = in.weight_N.index_select(0, plan.row_R);
  const at::Tensor dweight_R = at::empty_like(weight_R);
  const auto* weight = weight_R.const_data_ptr<Compute<T>>();
  auto* dweight = dweight_R.mutable_data_ptr<Compute<T>>();
  const int64_t* token = plan.token_R.const_data_ptr<int64_t>();

  const auto blocks = row_blocks(plan, in.shared.has_value(), kRowsPerBlock);
  for_each_task(static_cast<int64_t>(blocks.size()), [&](int64_t i) {
    const RowBlock& block = blocks[static_cast<size_t>(i)];
    const Banks banks = banks_of(in, block.expert);
    if (block.expert == E) return rows_backward<T>(shared, banks, block, nullptr, nullptr, in, wanted.x);
    gather<T>(in.x_TD, token, routed.x_RD, block);
    gather<T>(dy_TD, token, routed.dy_RD, block);
    rows_backward<T>(routed, banks, block, weight, dweight, in, wanted.x);
  });

  ExpertsGradient gradient;
  if (wanted.w13) gradient.w13_E2FD = wanted.into ? wanted.into->w13_E2FD : at::empty(in.w13_E2FD.sizes(), options);
  if (wanted.w2) gradient.w2_EDF = wanted.into ? wanted.into->w2_EDF : at::empty(in.w2_EDF.sizes(), options);
  if (in.shared && wanted.shared) {
    gradient.shared_w13_2FD = at::empty(in.shared->w13_2FD.sizes(), options);
    gradient.shared_w2_DF = at::empty(in.shared->w2_DF.sizes(), options);
  }
  std::vector<BankTask> tasks;
  for (const RowBlock& block : expert_blocks(plan, in.shared.has_value())) {
    const bool is_shared = block.expert == E;
    const Rows& rows = is_shared ? shared : routed;
    const auto of_block = [&](const at::Tensor& all) { return all.narrow(0, block.first, block.count); };
    const auto bank_of = [&](const at::Tensor& bank) { return is_shared ? bank : bank.select(0, block.expert); };
    const at::Tensor& dw13 = is_shared ? gradient.shared_w13_2FD : gradient.w13_E2FD;
    const at::Tensor& dw2 = is_shared ? gradient.shared_w2_DF : gradient.w2_EDF;
    const bool add = !is_shared && wanted.into && wanted.into->accumulate;
    if (dw13.defined()) add_bank_tasks(tasks, bank_of(dw13), of_block(rows.dh_R2F), of_block(rows.x_RD), add);
    if (dw2.defined()) add_bank_tasks(tasks, bank_of(dw2), of_block(rows.dy_RD), of_block(rows.a_RF), add);
  }
  for_each_task(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    const BankTask& task = tasks[static_cast<size_t>(i)];
    product_on_this_thread(task.out_MN, task.left_RM.t(), task.right_RN, in.round_products, task.add);
  });

  if (wanted.x) gradient.x_TD = sum_rows_of_tokens(routed.dx_RD, {}, plan, shared.dx_RD);
  gradient.weight_N = at::zeros_like(in.weight_N).index_copy_(0, plan.row_R, dweight_R);
  return gradient;
}

}  // namespace

ExpertsGradient moe_experts_backward_cpu(const ExpertsInput& in, const ExpertsOutput& out, const at::Tensor& dy_TD,
                                         const ExpertsWanted& wanted) {
  const KernelsOnly guard;
  return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, in.x_TD.scalar_type(), "moe_experts_backward",
                                        [&] { return backward<scalar_t>(in, out, dy_TD, wanted); });
}

}  // namespace polyphony::ops
