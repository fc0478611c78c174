// SPDX-License-Identifier: Apache-2.0
#include "moe/experts/gated_mlp.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "core/ops/linear/linear.h"

namespace polyphony::moe {

at::Tensor expert_weight(at::IntArrayRef shape) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(shape.back()));
  return at::empty(shape, at::kFloat).uniform_(-bound, bound);
}

ops::Activation activation_of(const std::string& name) {
  if (name == "silu") return ops::Activation::silu;
  if (name == "gelu") return ops::Activation::gelu;
  fail<ConfigError>("[moe] activation must be silu | gelu, got '", name, "'");
}

at::ScalarType compute_dtype_of(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  fail<ConfigError>("[moe] compute_dtype must be float32 | bfloat16, got '", name, "'");
}

at::ScalarType product_dtype(const at::Tensor& x, at::ScalarType configured) {
  return x.scalar_type() == at::kDouble ? at::kDouble : configured;
}

at::Tensor gated_mlp(const at::Tensor& x_TD, const ops::SharedExpert& weights, ops::Activation activation) {
  const auto h_T2F = ops::linear(x_TD, weights.w13_2FD);
  return ops::linear(ops::gated_activation(h_T2F, activation), weights.w2_DF);
}

at::Tensor add_shared(const at::Tensor& y_TD, const ExpertInput& input, ops::Activation activation) {
  if (!input.shared) return y_TD;
  const auto dtype = y_TD.scalar_type();
  return y_TD + gated_mlp(input.x_TD.to(dtype), cast(*input.shared, dtype), activation);
}

ops::SharedExpert cast(const ops::SharedExpert& weights, at::ScalarType dtype) {
  return {.w13_2FD = weights.w13_2FD.to(dtype), .w2_DF = weights.w2_DF.to(dtype)};
}

std::optional<ops::SharedExpert> cast(const std::optional<ops::SharedExpert>& weights, at::ScalarType dtype) {
  return weights ? std::optional(cast(*weights, dtype)) : std::nullopt;
}

PlanPart part_of(const ops::DispatchPlan& plan, const at::Tensor& weight_N, int64_t first, int64_t count) {
  const int64_t begin = plan.offset_E1[first].item<int64_t>();
  const int64_t rows = plan.offset_E1[first + count].item<int64_t>() - begin;
  return {.plan = ops::make_dispatch_plan(plan.token_R.narrow(0, begin, rows),
                                          plan.expert_R.narrow(0, begin, rows) - first, plan.num_tokens, count),
          .weight_N = weight_N.index_select(0, plan.row_R.narrow(0, begin, rows))};
}

SharedMlp::SharedMlp(int64_t model_dim, int64_t hidden)
    : w13_2FD_(register_parameter("w13", expert_weight({2 * hidden, model_dim}))),
      w2_DF_(register_parameter("w2", expert_weight({model_dim, hidden}))) {}

}  // namespace polyphony::moe
