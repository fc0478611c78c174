// SPDX-License-Identifier: Apache-2.0
#include "core/ops/linear/linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/bf16_copy/bf16_copy.h"
#include "core/ops/bf16_product/bf16_product.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Tasks are blocks of the result: fixed sizes, so that bits do not depend on the number of threads.
constexpr int64_t kBlockRows = 256;
constexpr int64_t kBlockColumns = 512;

void product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  const int64_t rows = (out.size(0) + kBlockRows - 1) / kBlockRows;
  const int64_t columns = (out.size(1) + kBlockColumns - 1) / kBlockColumns;
  for_each_task(rows * columns, [&](int64_t i) {
    const int64_t row = i / columns * kBlockRows, column = i % columns * kBlockColumns;
    const int64_t height = std::min(kBlockRows, out.size(0) - row);
    const int64_t width = std::min(kBlockColumns, out.size(1) - column);
    bf16_product(out.narrow(0, row, height).narrow(1, column, width), a.narrow(0, row, height),
                 b.narrow(1, column, width));
  });
}

struct Linear : torch::autograd::Function<Linear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_RI, const at::Tensor& weight_OI,
                            const std::optional<at::Tensor>& bias_O) {
    const KernelsOnly guard;
    at::Tensor y_RO = at::empty({x_RI.size(0), weight_OI.size(0)}, x_RI.options());
    product(y_RO, x_RI, bf16_copy_or_self(weight_OI).t());
    if (bias_O) y_RO.add_(*bias_O);
    ctx->save_for_backward({x_RI, weight_OI});
    ctx->saved_data["want_x"] = x_RI.requires_grad();
    ctx->saved_data["want_weight"] = weight_OI.requires_grad();
    ctx->saved_data["want_bias"] = bias_O && bias_O->requires_grad();
    return y_RO;
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradients) {
    refuse_double_backward("linear");
    const KernelsOnly guard;
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x_RI = saved[0], &weight_OI = saved[1], dy_RO = gradients[0].contiguous();
    variable_list out(3);
    if (ctx->saved_data["want_x"].toBool()) product(out[0] = at::empty_like(x_RI), dy_RO, bf16_copy_or_self(weight_OI));
    if (ctx->saved_data["want_weight"].toBool()) product(out[1] = at::empty_like(weight_OI), dy_RO.t(), x_RI);
    if (ctx->saved_data["want_bias"].toBool()) out[2] = dy_RO.sum(0);
    return out;
  }
};

}  // namespace

bool rounds_products(const at::Tensor& weight) {
  return weight.is_cpu() && weight.scalar_type() == at::kFloat && at::autocast::is_autocast_enabled(at::kCPU) &&
         at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16;
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight_OI, const at::Tensor& bias_O) {
  constexpr auto where = "[linear] ";
  check<ShapeError>(
      weight_OI.defined() && weight_OI.dim() == 2 && x.defined() && x.dim() >= 1 && x.size(-1) == weight_OI.size(1),
      where, "x must be (..., I) and weight (O, I), got ", x.defined() ? x.sizes() : at::IntArrayRef{}, " and ",
      weight_OI.defined() ? weight_OI.sizes() : at::IntArrayRef{});
  check<ShapeError>(!bias_O.defined() || (bias_O.dim() == 1 && bias_O.size(0) == weight_OI.size(0)), where,
                    "bias must be (", weight_OI.size(0), ")");
  const bool rounds = rounds_products(weight_OI);
  const bool bf16 = x.is_cpu() && x.scalar_type() == at::kBFloat16 && weight_OI.scalar_type() == at::kBFloat16;
  if (!bf16 && !rounds) return at::linear(x, weight_OI, bias_O);
  auto sizes = x.sizes().vec();
  sizes.back() = weight_OI.size(0);
  const auto bias = bias_O.defined() ? std::optional<at::Tensor>(bias_O) : std::nullopt;
  const at::Tensor x_RI = x.reshape({-1, weight_OI.size(1)}).to(weight_OI.scalar_type()).contiguous();
  return Linear::apply(x_RI, weight_OI.contiguous(), bias).view(sizes);
}

}  // namespace polyphony::ops
