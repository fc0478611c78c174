// SPDX-License-Identifier: Apache-2.0
#include "core/nn/rope.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/rotate_rows/rotate_rows.h"

namespace polyphony::nn {
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
  return ops::rotate_rows(x_THD, table.cos_TD, table.sin_TD);
}

}  // namespace polyphony::nn
