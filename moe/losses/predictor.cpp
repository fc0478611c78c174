// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/predictor.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor predictor_loss(const Routing& routing) {
  check<ShapeError>(routing.predictor_TE.defined(), "[losses] predictor needs a router with a predictor of its rows");
  const auto& logits_TE = routing.predictor_TE;
  const bool of_tokens = logits_TE.size(1) == 1;
  auto target_TE = at::zeros(logits_TE.sizes(), logits_TE.options());
  target_TE.index_put_({routing.token_N, of_tokens ? at::zeros_like(routing.expert_N) : routing.expert_N},
                       at::ones({}, target_TE.options()));
  const auto sum = at::binary_cross_entropy_with_logits(logits_TE, target_TE, {}, {}, at::Reduction::Sum);
  return sum / static_cast<double>(std::max<int64_t>(logits_TE.numel(), 1));
}

}  // namespace polyphony::moe
