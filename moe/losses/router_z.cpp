// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/router_z.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor router_z_loss(const Routing& routing) {
  check<ShapeError>(routing.logits_TE.defined(), "[losses] router z-loss needs a router with logits");
  const auto z_T = routing.logits_TE.logsumexp(1);
  return z_T.square().sum() / static_cast<double>(std::max<int64_t>(routing.num_tokens, 1));
}

}  // namespace polyphony::moe
