// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/heterogeneous_balance.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/losses/expert_load.h"

namespace polyphony::moe {

at::Tensor heterogeneous_balance_loss(const Routing& routing, const at::Tensor& eta_E) {
  const int64_t columns = routing.num_experts + routing.num_null;
  check<ShapeError>(eta_E.defined() && eta_E.dim() == 1 && eta_E.size(0) == columns && (eta_E > 0).all().item<bool>(),
                    "[losses] eta must be (", columns, ") and above 0");
  const auto load = expert_load(routing, {.num_experts = routing.num_experts});
  const auto eta = eta_E.to(load.probability_SE.options());
  const auto count_E = load.count_SE.select(0, 0);
  const auto share_E = count_E / count_E.sum().clamp_min(1);
  return eta.reciprocal().sum() * (eta * share_E * load.probability_SE.select(0, 0)).sum();
}

}  // namespace polyphony::moe
