// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/mutual_information.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/losses/router_entropy.h"

namespace polyphony::moe {

at::Tensor mutual_information_loss(const Routing& routing) {
  check<ShapeError>(routing.logits_TE.defined(), "[losses] mutual information needs a router with logits");
  if (routing.num_tokens == 0) return at::zeros({}, routing.logits_TE.options());
  const auto mean_E = routing.logits_TE.softmax(1).mean(0);
  // 0 log 0 counts as 0: an expert that all tokens are forbidden.
  return router_entropy_loss(routing) + (mean_E * mean_E.clamp_min(1e-30).log()).sum();
}

}  // namespace polyphony::moe
