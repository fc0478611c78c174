// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/selection.h"

#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor gate_weight(int64_t rows, int64_t columns) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  return at::empty({rows, columns}, at::kFloat).uniform_(-bound, bound);
}

at::Tensor gate_logits(const at::Tensor& x_TD, const at::Tensor& weight_ED) {
  check<ShapeError>(x_TD.size(1) == weight_ED.size(1), "[router] x must be (T, ", weight_ED.size(1), "), got ",
                    x_TD.sizes());
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return at::linear(x_TD.to(gate_dtype(x_TD)), weight_ED.to(gate_dtype(x_TD)));
}

at::Tensor gate_logits_by_modality(const at::Tensor& x_TD, const at::Tensor& modality_T, const at::Tensor& weight_MED) {
  auto logits_TE = at::zeros({x_TD.size(0), weight_MED.size(1)}, x_TD.options().dtype(gate_dtype(x_TD)));
  for (int64_t m = 0; m < weight_MED.size(0); ++m) {
    const auto rows_R = (modality_T == m).nonzero().flatten();
    logits_TE = logits_TE.index_copy(0, rows_R, gate_logits(x_TD.index_select(0, rows_R), weight_MED.select(0, m)));
  }
  return logits_TE;
}

at::Tensor with_jitter(const RoutingContext& context, double jitter) {
  if (jitter == 0.0 || !context.training) return context.x_TD;
  const auto noise_TD =
      at::empty_like(context.x_TD, gate_dtype(context.x_TD)).uniform_(1 - jitter, 1 + jitter, context.generator);
  return context.x_TD.to(gate_dtype(context.x_TD)) * noise_TD;
}

at::ScalarType gate_dtype(const at::Tensor& x) { return at::promote_types(x.scalar_type(), at::kFloat); }

Routing scored(const RoutingContext& context, const at::Tensor& allowed_TE, const at::Tensor& logits_TE,
               const std::string& score) {
  const auto bounded = logits_TE.detach() < std::numeric_limits<float>::infinity();  // false for NaN, too
  check<NonFiniteError>(bounded.all().item<bool>(), "[router] logits of layer ", context.layer, " at step ",
                        context.step, " are not finite");
  Routing routing{.num_tokens = allowed_TE.size(0),
                  .num_experts = allowed_TE.size(1),
                  .num_null = logits_TE.size(1) - allowed_TE.size(1)};
  routing.logits_TE = mask_logits(logits_TE, allowed_TE);
  routing.score_TE = score_of_logits(routing.logits_TE, score);
  return routing;
}

at::Tensor score_of_logits(const at::Tensor& logits_TE, const std::string& score) {
  return score == "sigmoid" ? logits_TE.sigmoid() : logits_TE.softmax(-1);
}

at::Tensor choice_scores(const Routing& routing) {
  return routing.score_TE.detach().masked_fill(routing.logits_TE.isneginf(), -std::numeric_limits<float>::infinity());
}

Chosen choose_top(const at::Tensor& choice_TE, int64_t K) {
  auto expert_TK = top_indices(choice_TE, K);
  auto keep_TK = ~choice_TE.gather(1, expert_TK).isneginf();
  return {.expert_TK = std::move(expert_TK), .keep_TK = std::move(keep_TK)};
}

int64_t rank_of(const RoutingContext& context, const RouterConfig& config) {
  const int64_t K = context.experts_per_token.value_or(config.experts_per_token);
  check<ShapeError>(K >= 1 && K <= config.num_experts + config.num_null, "[router] experts_per_token must be in [1, ",
                    config.num_experts + config.num_null, "], got ", K);
  return K;
}

void check_one_of(const std::string& value, const std::vector<std::string>& allowed, const char* key) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  std::string names;
  for (const auto& name : allowed) names += (names.empty() ? "" : " | ") + name;
  fail<ConfigError>("[moe] ", key, " must be ", names, ", got '", value, "'");
}

void set_rows(Routing& routing, const Chosen& chosen, const at::Tensor& weight_TK) {
  const auto& [expert_TK, keep_TK] = chosen;
  const int64_t T = expert_TK.size(0), K = expert_TK.size(1);
  const auto token_TK = at::arange(T, expert_TK.options()).unsqueeze(1).expand({T, K});
  if (keep_TK.all().item<bool>()) {
    routing.token_N = token_TK.flatten();
    routing.expert_N = expert_TK.flatten();
    routing.weight_N = weight_TK.flatten();
    return;
  }
  const auto kept_N = keep_TK.flatten().nonzero().flatten();
  routing.token_N = token_TK.flatten().index_select(0, kept_N);
  routing.expert_N = expert_TK.flatten().index_select(0, kept_N);
  routing.weight_N = weight_TK.flatten().index_select(0, kept_N);
}

}  // namespace polyphony::moe
