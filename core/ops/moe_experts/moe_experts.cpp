// SPDX-License-Identifier: Apache-2.0
#include "core/ops/moe_experts/moe_experts.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/bf16_copy/bf16_copy.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/grouped_mlp/grouped_product.h"
#include "core/ops/linear/linear.h"
#include "core/ops/moe_experts/moe_experts_cpu.h"
#include "core/ops/moe_experts/moe_experts_cuda.h"

namespace polyphony::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_bank(const at::Tensor& x_TD, const at::Tensor& bank, at::IntArrayRef sizes, const char* name) {
  check<ShapeError>(bank.defined() && bank.sizes() == sizes, "[moe_experts] ", name, " must be ", sizes, ", got ",
                    bank.defined() ? bank.sizes() : at::IntArrayRef{});
  check<ShapeError>(bank.scalar_type() == x_TD.scalar_type() && bank.device() == x_TD.device(), "[moe_experts] ", name,
                    " must share x's dtype ", x_TD.scalar_type(), " and device ", x_TD.device(), ", got ",
                    bank.scalar_type(), " on ", bank.device());
}

void check_input(const ExpertsInput& in) {
  constexpr auto where = "[moe_experts] ";
  check<ShapeError>(in.x_TD.defined() && in.x_TD.dim() == 2, where, "x must be (T, D)");
  const auto dtype = in.x_TD.scalar_type();
  check<ShapeError>(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble, where,
                    "x must be f32, bf16 or f64, got ", dtype);
  const DispatchPlan& plan = in.plan;
  check<ShapeError>(plan.token_R.defined() && plan.num_tokens == in.x_TD.size(0), where, "the plan is for ",
                    plan.num_tokens, " tokens, x has ", in.x_TD.size(0));
  check<ShapeError>(plan.token_R.device() == in.x_TD.device(), where, "the plan and x are on different devices");
  const auto weight_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  check<ShapeError>(in.weight_N.defined() && in.weight_N.dim() == 1 && in.weight_N.size(0) == plan.num_routing_rows &&
                        in.weight_N.scalar_type() == weight_dtype && in.weight_N.device() == in.x_TD.device(),
                    where, "weight must be ", weight_dtype, " (", plan.num_routing_rows, ") on x's device");
  const int64_t D = in.x_TD.size(1);
  check<ShapeError>(in.w2_EDF.defined() && in.w2_EDF.dim() == 3, where, "w2 must be (E, D, F)");
  const int64_t F = in.w2_EDF.size(2);
  check_bank(in.x_TD, in.w13_E2FD, {plan.num_experts, 2 * F, D}, "w13 (E, 2F, D)");
  check_bank(in.x_TD, in.w2_EDF, {plan.num_experts, D, F}, "w2 (E, D, F)");
  if (!in.shared) return;
  check<ShapeError>(in.shared->w2_DF.defined() && in.shared->w2_DF.dim() == 2, where, "shared w2 must be (D, F)");
  const int64_t shared_F = in.shared->w2_DF.size(1);
  check_bank(in.x_TD, in.shared->w13_2FD, {2 * shared_F, D}, "shared w13 (2F, D)");
  check_bank(in.x_TD, in.shared->w2_DF, {D, shared_F}, "shared w2 (D, F)");
}

void check_into(const ExpertsInput& in, const BankGradients& into) {
  constexpr auto where = "[moe_experts] ";
  check<Error>(in.x_TD.is_cpu() && in.x_TD.scalar_type() != at::kDouble, where,
               "gradients go into f32 buffers for f32 and bf16 banks on the CPU alone");
  const auto fits = [](const at::Tensor& gradient, const at::Tensor& bank) {
    return gradient.defined() && gradient.sizes() == bank.sizes() && gradient.scalar_type() == at::kFloat &&
           gradient.is_cpu() && gradient.is_contiguous();
  };
  check<ShapeError>(fits(into.w13_E2FD, in.w13_E2FD) && fits(into.w2_EDF, in.w2_EDF), where,
                    "buffers of gradients must be f32, contiguous and of the banks' sizes ", in.w13_E2FD.sizes(),
                    " and ", in.w2_EDF.sizes());
}

// On a GPU autocast casts what goes in, outside the graph's one node, so that gradients reach the originals.
void cast_for_autocast(ExpertsInput& in) {
  const auto device = in.x_TD.device().type();
  if (in.x_TD.is_cpu() || !at::autocast::is_autocast_enabled(device)) return;
  const auto dtype = at::autocast::get_autocast_dtype(device);
  for (at::Tensor* t : {&in.x_TD, &in.w13_E2FD, &in.w2_EDF}) *t = t->to(dtype);
  if (in.shared) in.shared = SharedExpert{in.shared->w13_2FD.to(dtype), in.shared->w2_DF.to(dtype)};
}

struct MoeExperts : torch::autograd::Function<MoeExperts> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TD, const at::Tensor& weight_N,
                            const at::Tensor& w13_E2FD, const at::Tensor& w2_EDF,
                            const std::optional<at::Tensor>& shared_w13, const std::optional<at::Tensor>& shared_w2,
                            const DispatchPlan& plan, Activation activation, bool round_products,
                            const std::optional<BankGradients>& into) {
    const at::Tensor shared_w13_2FD = shared_w13.value_or(at::Tensor());
    const at::Tensor shared_w2_DF = shared_w2.value_or(at::Tensor());
    const ExpertsInput in =
        input_of({x_TD, weight_N, w13_E2FD, w2_EDF, shared_w13_2FD, shared_w2_DF}, plan, activation, round_products);
    const ExpertsOutput out =
        x_TD.is_cpu() ? moe_experts_forward_cpu(in)
                      : moe_experts_forward_cuda(in, multiplies_in_one_launch(x_TD, w2_EDF.sizes().slice(1)));
    save_with_plan(ctx, {x_TD, weight_N, w13_E2FD, w2_EDF, shared_w13_2FD, shared_w2_DF, out.h_R2F, out.shared_h_T2F},
                   plan);
    ctx->saved_data["gelu"] = activation == Activation::gelu;
    ctx->saved_data["round_products"] = round_products;
    if (into) {
      ctx->saved_data["into_w13"] = into->w13_E2FD;
      ctx->saved_data["into_w2"] = into->w2_EDF;
      ctx->saved_data["into_adds"] = into->accumulate;
    }
    ctx->saved_data["want_x"] = x_TD.requires_grad();
    ctx->saved_data["want_w13"] = w13_E2FD.requires_grad();
    ctx->saved_data["want_w2"] = w2_EDF.requires_grad();
    ctx->saved_data["want_shared"] =
        shared_w13_2FD.defined() && (shared_w13_2FD.requires_grad() || shared_w2_DF.requires_grad());
    return out.y_TD;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    refuse_double_backward("moe_experts");
    const auto [saved, plan] = load_with_plan(ctx);
    const ExpertsInput in =
        input_of(saved, plan, ctx->saved_data["gelu"].toBool() ? Activation::gelu : Activation::silu,
                 ctx->saved_data["round_products"].toBool());
    const ExpertsWanted wanted{.x = ctx->saved_data["want_x"].toBool(),
                               .w13 = ctx->saved_data["want_w13"].toBool(),
                               .w2 = ctx->saved_data["want_w2"].toBool(),
                               .shared = ctx->saved_data["want_shared"].toBool(),
                               .into = into_of(ctx)};
    const ExpertsOutput out{.y_TD = {}, .h_R2F = saved[6], .shared_h_T2F = saved[7]};
    const at::Tensor dy_TD = gradients[0].contiguous();
    ExpertsGradient g = dy_TD.is_cpu()
                            ? moe_experts_backward_cpu(in, out, dy_TD, wanted)
                            : moe_experts_backward_cuda(in, out, dy_TD, wanted,
                                                        multiplies_in_one_launch(in.x_TD, in.w2_EDF.sizes().slice(1)));
    if (wanted.into) g.w13_E2FD = g.w2_EDF = at::Tensor();
    return {g.x_TD, g.weight_N, g.w13_E2FD, g.w2_EDF, g.shared_w13_2FD, g.shared_w2_DF, {}, {}, {}, {}};
  }

  static std::optional<BankGradients> into_of(AutogradContext* ctx) {
    if (ctx->saved_data.count("into_w13") == 0) return std::nullopt;
    return BankGradients{.w13_E2FD = ctx->saved_data["into_w13"].toTensor(),
                         .w2_EDF = ctx->saved_data["into_w2"].toTensor(),
                         .accumulate = ctx->saved_data["into_adds"].toBool()};
  }

  static ExpertsInput input_of(const variable_list& t, const DispatchPlan& plan, Activation activation,
                               bool round_products) {
    const bool shared = t[4].defined();
    const auto read = [&](const at::Tensor& bank) { return round_products ? bf16_copy_or_self(bank) : bank; };
    return {.x_TD = t[0],
            .plan = plan,
            .weight_N = t[1],
            .w13_E2FD = read(t[2]),
            .w2_EDF = read(t[3]),
            .shared = shared ? std::optional<SharedExpert>({read(t[4]), read(t[5])}) : std::nullopt,
            .activation = activation,
            .round_products = round_products};
  }
};

}  // namespace

at::Tensor moe_experts(const at::Tensor& x_TD, const DispatchPlan& plan, const at::Tensor& weight_N,
                       const at::Tensor& w13_E2FD, const at::Tensor& w2_EDF, const std::optional<SharedExpert>& shared,
                       Activation activation, const std::optional<BankGradients>& into) {
  const bool rounds = rounds_products(w13_E2FD);
  ExpertsInput in{.x_TD = rounds ? x_TD.to(at::kFloat) : x_TD,
                  .plan = plan,
                  .weight_N = weight_N,
                  .w13_E2FD = w13_E2FD,
                  .w2_EDF = w2_EDF,
                  .shared = shared,
                  .activation = activation,
                  .round_products = rounds};
  check_input(in);
  if (into) check_into(in, *into);
  cast_for_autocast(in);
  using Maybe = std::optional<at::Tensor>;  // autograd takes no undefined tensors as inputs
  return MoeExperts::apply(in.x_TD.contiguous(), in.weight_N.contiguous(), in.w13_E2FD.contiguous(),
                           in.w2_EDF.contiguous(), in.shared ? Maybe(in.shared->w13_2FD.contiguous()) : Maybe(),
                           in.shared ? Maybe(in.shared->w2_DF.contiguous()) : Maybe(), plan, activation,
                           in.round_products, into);
}

}  // namespace polyphony::ops
