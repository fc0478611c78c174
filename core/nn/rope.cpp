// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rope.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"

namespace polyphony::nn {
namespace {

at::Tensor rotate(const at::Tensor& x_THD, const at::Tensor& cos_TD, const at::Tensor& sin_TD) {
  const auto halves = x_THD.to(cos_TD.scalar_type()).chunk(2, -1);
  const at::Tensor cos = cos_TD.unsqueeze(1);
  const at::Tensor sin = sin_TD.unsqueeze(1);
  const at::Tensor first = at::addcmul(halves[0] * cos, halves[1], sin, -1);
  const at::Tensor second = at::addcmul(halves[1] * cos, halves[0], sin);
  return at::cat({first, second}, -1).to(x_THD.scalar_type());
}

// A rotation's transpose is the rotation back, so nothing but the table is saved.
struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_THD, const at::Tensor& cos_TD,
                            const at::Tensor& sin_TD) {
    ctx->save_for_backward({cos_TD, sin_TD});
    return rotate(x_THD, cos_TD, sin_TD);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    return {rotate(gradients[0], saved[0], -saved[1]), {}, {}};
  }
};

}  // namespace

RopeTable make_rope_table(const at::Tensor& position_TA, const RopeOptions& options) {
  const auto num_axes = static_cast<int64_t>(options.axis_dims.size());
  check<ShapeError>(position_TA.defined() && position_TA.dim() == 2 && position_TA.size(1) == num_axes,
                    "[rope] position must be (T, ", num_axes, ")");
  const auto f32 = position_TA.options().dtype(at::kFloat);
  std::vector<at::Tensor> angles;
  for (int64_t a = 0; a < num_axes; ++a) {
    const int64_t dim = options.axis_dims[static_cast<size_t>(a)];
    check<ShapeError>(dim >= 0 && dim % 2 == 0, "[rope] axis_dims must be even, got ", dim, " for axis ", a);
    const at::Tensor exponent = at::arange(0, dim, 2, f32) * (-1.0 / static_cast<double>(std::max<int64_t>(dim, 1)));
    const at::Tensor frequency = at::pow(options.theta, exponent);
    angles.push_back(position_TA.narrow(1, a, 1).to(at::kFloat) * frequency.unsqueeze(0));
  }
  const at::Tensor angle = at::cat(angles, 1);
  return {.cos_TD = at::cos(angle), .sin_TD = at::sin(angle)};
}

at::Tensor apply_rope(const at::Tensor& x_THD, const RopeTable& table) {
  check<ShapeError>(
      x_THD.dim() == 3 && x_THD.size(0) == table.cos_TD.size(0) && x_THD.size(2) == 2 * table.cos_TD.size(1),
      "[rope] x must be (", table.cos_TD.size(0), ", heads, ", 2 * table.cos_TD.size(1), "), got ", x_THD.sizes());
  return Rope::apply(x_THD, table.cos_TD, table.sin_TD);
}

}  // namespace polyphony::nn
