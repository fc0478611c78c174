// SPDX-License-Identifier: Apache-2.0
#include "core/ops/gated_activation/gated_activation.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/gated_activation/gated_activation_cuda.h"
#include "core/ops/gated_activation/gated_activation_rows.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

template <class T>
at::Tensor forward_cpu(const at::Tensor& h_R2F, Activation activation) {
  const int64_t R = h_R2F.size(0);
  const int64_t F = h_R2F.size(1) / 2;
  const at::Tensor a_RF = at::empty({R, F}, h_R2F.options());
  const T* h = h_R2F.const_data_ptr<T>();
  T* a = a_RF.mutable_data_ptr<T>();
  at::parallel_for(0, R, kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) gated_activation_row(h + r * 2 * F, a + r * F, F, activation);
  });
  return a_RF;
}

template <class T>
at::Tensor backward_cpu(const at::Tensor& h_R2F, const at::Tensor& da_RF, Activation activation) {
  const int64_t F = da_RF.size(1);
  const at::Tensor dh_R2F = at::empty_like(h_R2F);
  const T* h = h_R2F.const_data_ptr<T>();
  const T* da = da_RF.const_data_ptr<T>();
  T* dh = dh_R2F.mutable_data_ptr<T>();
  at::parallel_for(0, h_R2F.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    std::vector<T> weighted_a(static_cast<size_t>(F));
    for (int64_t r = first; r < last; ++r)
      gated_activation_row_backward<T>(h + r * 2 * F, da + r * F, 1, dh + r * 2 * F, weighted_a.data(), F, activation);
  });
  return dh_R2F;
}

at::Tensor run_forward(const at::Tensor& h_R2F, Activation activation) {
  if (h_R2F.is_cpu())
    return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, h_R2F.scalar_type(), "gated_activation",
                                          [&] { return forward_cpu<scalar_t>(h_R2F, activation); });
  return gated_activation_cuda(h_R2F, activation);
}

at::Tensor run_backward(const at::Tensor& h_R2F, const at::Tensor& da_RF, Activation activation) {
  if (h_R2F.is_cpu())
    return AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, h_R2F.scalar_type(), "gated_activation_backward",
                                          [&] { return backward_cpu<scalar_t>(h_R2F, da_RF, activation); });
  return gated_activation_gradient_cuda(h_R2F, da_RF, activation).h_R2F;
}

struct GatedActivation : torch::autograd::Function<GatedActivation> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& h_R2F, Activation activation) {
    const KernelsOnly guard;
    ctx->save_for_backward({h_R2F});
    ctx->saved_data["gelu"] = activation == Activation::gelu;
    return run_forward(h_R2F, activation);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("gated_activation");
    const KernelsOnly guard;
    const auto activation = ctx->saved_data["gelu"].toBool() ? Activation::gelu : Activation::silu;
    return {run_backward(ctx->get_saved_variables()[0], gradients[0].contiguous(), activation), {}};
  }
};

}  // namespace

at::Tensor gated_activation(const at::Tensor& h_R2F, Activation activation) {
  constexpr auto where = "[gated_activation] ";
  check<ShapeError>(h_R2F.defined() && h_R2F.dim() == 2 && h_R2F.size(1) % 2 == 0, where, "h must be (R, 2F)");
  const auto dtype = h_R2F.scalar_type();
  check<ShapeError>(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble, where,
                    "h must be f32, bf16 or f64, got ", dtype);
  return GatedActivation::apply(h_R2F.contiguous(), activation);
}

}  // namespace polyphony::ops
