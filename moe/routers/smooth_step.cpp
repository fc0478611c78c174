// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/smooth_step.h"

#include <ATen/ATen.h>

#include "moe/routers/selection.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {

at::Tensor smooth_step(const at::Tensor& u, double width) {
  const auto v = (u / width).clamp(-0.5, 0.5);
  return -2 * v.pow(3) + 1.5 * v + 0.5;
}

at::Tensor entropy_of(const at::Tensor& p) { return -(p * (p + 1e-6).log()).sum(-1); }

Routing route_by_gates(const RoutingContext& context, const at::Tensor& gate_TE, std::optional<int64_t> most) {
  const auto allowed_TE = allowed_of_token(context);
  // The small number keeps logarithms finite where a gate is 0.
  auto routing = scored(context, allowed_TE, (gate_TE + 1e-8).log(), "softmax");
  const auto open_TE = (gate_TE.detach() > 0) & allowed_TE;
  const auto counts_TE = at::where(open_TE.any(1, /*keepdim=*/true), open_TE, allowed_TE);
  const int64_t E = gate_TE.size(1);
  const auto expert_TE = top_indices(choice_scores(routing).masked_fill(~counts_TE, -1.0), E);
  auto keep_TE = counts_TE.gather(1, expert_TE);
  if (most) keep_TE = keep_TE & (at::arange(E, expert_TE.options()) < *most);
  const auto weight_TE = routing.score_TE.gather(1, expert_TE).masked_fill(~keep_TE, 0);
  set_rows(routing, {.expert_TK = expert_TE, .keep_TK = keep_TE}, normalise_weights(weight_TE, "sum"));
  return routing;
}

}  // namespace polyphony::moe
