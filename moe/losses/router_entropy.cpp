// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/router_entropy.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor router_entropy_loss(const Routing& routing) {
  check<ShapeError>(routing.logits_TE.defined(), "[losses] router entropy needs a router with logits");
  const auto log_p_TE = routing.logits_TE.log_softmax(-1);
  // 0 log 0 counts as 0; left alone it would be NaN, and so would its gradient.
  const auto finite_log_p_TE = log_p_TE.masked_fill(log_p_TE.isneginf(), 0);
  const auto sum = -(log_p_TE.exp() * finite_log_p_TE).sum();
  return sum / static_cast<double>(std::max<int64_t>(routing.num_tokens, 1));
}

}  // namespace polyphony::moe
