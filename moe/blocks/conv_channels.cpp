// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/conv_channels.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"
#include "core/ops/combine_rows/combine_rows.h"
#include "moe/dispatch.h"

namespace polyphony::moe {

ConvChannels::ConvChannels(const ConvChannelsOptions& o) : options_(o) {
  check<ConfigError>(
      o.in_channels > 0 && o.out_channels > 0 && o.num_experts > 0 && o.kernel > 0 && o.stride > 0 && o.padding >= 0,
      "[conv_channels] sizes must be positive, got ", o.in_channels, " and ", o.out_channels, " channels, ",
      o.num_experts, " experts, kernel ", o.kernel, ", stride ", o.stride, ", padding ", o.padding);
  const double bound = 1.0 / std::sqrt(static_cast<double>(o.in_channels * o.kernel * o.kernel));
  weight_EOIKK_ = register_parameter(
      "weight", at::empty({o.num_experts, o.out_channels, o.in_channels, o.kernel, o.kernel}).uniform_(-bound, bound));
}

at::Tensor ConvChannels::forward(const at::Tensor& x_BIYX, const Routing& routing) {
  const auto& o = options_;
  check<ShapeError>(x_BIYX.dim() == 4 && x_BIYX.size(1) == o.in_channels, "[conv_channels] x must be (B, ",
                    o.in_channels, ", Y, X), got ", x_BIYX.sizes());
  check<ShapeError>(routing.num_tokens == x_BIYX.size(0) && routing.num_experts == o.num_experts,
                    "[conv_channels] the routing must be of ", x_BIYX.size(0), " images and ", o.num_experts,
                    " experts, got ", routing.num_tokens, " and ", routing.num_experts);
  const auto plan = plan_dispatch(routing);
  const auto offset = plan.offset_E1.cpu();
  const auto side = [&](int64_t size) { return (size + 2 * o.padding - o.kernel) / o.stride + 1; };
  const std::vector<int64_t> shape = {-1, o.out_channels, side(x_BIYX.size(2)), side(x_BIYX.size(3))};
  std::vector<at::Tensor> y_RF = {at::zeros({0, shape[1] * shape[2] * shape[3]}, x_BIYX.options())};
  for (int64_t e = 0; e < o.num_experts; ++e) {
    const int64_t first = offset[e].item<int64_t>(), rows = offset[e + 1].item<int64_t>() - first;
    if (rows == 0) continue;
    const auto x = x_BIYX.index_select(0, plan.token_R.narrow(0, first, rows));
    y_RF.push_back(at::conv2d(x, weight_EOIKK_[e], {}, o.stride, o.padding).flatten(1));
  }
  return ops::combine_rows(at::cat(y_RF), routing.weight_N, plan).view({x_BIYX.size(0), shape[1], shape[2], shape[3]});
}

}  // namespace polyphony::moe
