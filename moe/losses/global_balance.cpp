// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/global_balance.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/losses/expert_load.h"

namespace polyphony::moe {

at::Tensor counts_of_experts(const Routing& routing) {
  return at::bincount(routing.expert_N, {}, routing.num_experts + routing.num_null).to(at::kFloat);
}

at::Tensor global_balance_loss(const Routing& routing, const at::Tensor& count_E) {
  const int64_t columns = routing.num_experts + routing.num_null;
  check<ShapeError>(count_E.defined() && count_E.dim() == 1 && count_E.size(0) == columns,
                    "[losses] counts of the global batch must be (", columns, ")");
  const auto load = expert_load(routing, {.num_experts = routing.num_experts});
  const auto count = count_E.to(load.probability_SE.options());
  return static_cast<double>(columns) * (count / count.sum().clamp_min(1) * load.probability_SE.select(0, 0)).sum();
}

}  // namespace polyphony::moe
