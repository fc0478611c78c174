// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/conv_map/conv_map.h"

namespace polyphony::ops {
namespace {

at::Tensor rounded(const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); }

at::Tensor per_position(const at::Tensor& rows_BI) { return rows_BI.unsqueeze(2).unsqueeze(3); }

}  // namespace

ConvMapOutput conv_map_reference(const ConvMapInput& in, const at::Tensor& weight_OIKK, const at::Tensor& bias_O) {
  at::Tensor x_BIHW = in.x_BHWI.to(at::kFloat).permute({0, 3, 1, 2});
  if (in.scale_BI.defined()) x_BIHW = x_BIHW * per_position(in.scale_BI) + per_position(in.shift_BI);
  if (in.scale_BI.defined() && in.silu) x_BIHW = at::silu(x_BIHW);
  x_BIHW = rounded(x_BIHW);
  if (in.doubled) x_BIHW = at::upsample_nearest2d(x_BIHW, {2 * x_BIHW.size(2), 2 * x_BIHW.size(3)});
  const int64_t border = weight_OIKK.size(2) / 2;
  at::Tensor y_BHWO =
      at::conv2d(x_BIHW, rounded(weight_OIKK), bias_O.to(at::kFloat), 1, border).permute({0, 2, 3, 1}).contiguous();
  if (in.residual_BHWO.defined()) y_BHWO = y_BHWO + in.residual_BHWO.to(at::kFloat);
  const at::Tensor wide = y_BHWO.to(at::kDouble);
  return {.y_BHWO = in.f32_result ? y_BHWO : y_BHWO.to(at::kBFloat16),
          .sums_B2O = at::stack({wide.sum({1, 2}), wide.square().sum({1, 2})}, 1)};
}

}  // namespace polyphony::ops
