// SPDX-License-Identifier: Apache-2.0
#include "core/ops/rms_norm/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/parallel.h"
#include "core/ops/rms_norm/rms_norm_rows.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kRowsPerTask = 256;  // fixed, so that the sum of dweight does not depend on the number of threads

int64_t num_tasks(int64_t rows) { return (rows + kRowsPerTask - 1) / kRowsPerTask; }

template <class T>
std::pair<at::Tensor, at::Tensor> forward_cpu(const at::Tensor& x, const at::Tensor& weight_D, double eps) {
  const int64_t D = x.size(-1), R = x.numel() / D;
  at::Tensor y = at::empty_like(x);
  at::Tensor r_R = at::empty({R}, weight_D.options());
  const T* from = x.const_data_ptr<T>();
  const auto* weight = weight_D.const_data_ptr<Compute<T>>();
  T* to = y.mutable_data_ptr<T>();
  auto* r = r_R.mutable_data_ptr<Compute<T>>();
  at::parallel_for(0, R, kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) r[i] = rms_norm_row(from + i * D, weight, to + i * D, D, eps);
  });
  return {y, r_R};
}

template <class T>
std::pair<at::Tensor, at::Tensor> backward_cpu(const at::Tensor& x, const at::Tensor& weight_D, const at::Tensor& r_R,
                                               const at::Tensor& dy) {
  const int64_t D = x.size(-1), R = x.numel() / D;
  at::Tensor dx = at::empty_like(x);
  at::Tensor dweight_ND = at::zeros({num_tasks(R), D}, weight_D.options());
  const T* x_data = x.const_data_ptr<T>();
  const T* dy_data = dy.const_data_ptr<T>();
  const auto* weight = weight_D.const_data_ptr<Compute<T>>();
  const auto* r = r_R.const_data_ptr<Compute<T>>();
  T* dx_data = dx.mutable_data_ptr<T>();
  auto* dweight = dweight_ND.mutable_data_ptr<Compute<T>>();
  for_each_task(num_tasks(R), [&](int64_t task) {
    for (int64_t i = task * kRowsPerTask; i < std::min(R, (task + 1) * kRowsPerTask); ++i)
      rms_norm_row_backward(x_data + i * D, weight, dy_data + i * D, r[i], dx_data + i * D, dweight + task * D, D);
  });
  return {dx, dweight_ND.sum(0)};
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight_D,
                            double eps) {
    const KernelsOnly guard;
    const auto wide_D = weight_D.to(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat).contiguous();
    auto [y, r_R] = AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "rms_norm",
                                                   [&] { return forward_cpu<scalar_t>(x, wide_D, eps); });
    ctx->save_for_backward({x, wide_D, r_R});
    ctx->saved_data["dtype"] = weight_D.scalar_type();
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("rms_norm");
    const KernelsOnly guard;
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    auto [dx, dweight_D] = AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, dy.scalar_type(), "rms_norm_backward", [&] {
      return backward_cpu<scalar_t>(saved[0], saved[1], saved[2], dy);
    });
    return {dx, dweight_D.to(ctx->saved_data["dtype"].toScalarType()), {}};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight_D, double eps) {
  constexpr auto where = "[rms_norm] ";
  check<ShapeError>(x.defined() && x.dim() >= 1 && x.size(-1) > 0, where, "x must have a last axis");
  check<ShapeError>(!weight_D.defined() || (weight_D.dim() == 1 && weight_D.size(0) == x.size(-1)), where,
                    "weight must be (", x.size(-1), ")");
  const auto dtype = x.scalar_type();
  const bool has_kernel = x.is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble);
  if (!has_kernel) return rms_norm_reference(x, weight_D, eps);
  const auto gain_D = weight_D.defined() ? weight_D : at::ones({x.size(-1)}, x.options());
  return RmsNorm::apply(x.contiguous(), gain_D, eps);
}

}  // namespace polyphony::ops
