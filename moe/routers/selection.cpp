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
  return at::linear(x_TD.to(at::kFloat), weight_ED.to(at::kFloat));
}

at::Tensor gate_logits_by_modality(const at::Tensor& x_TD, const at::Tensor& modality_T, const at::Tensor& weight_MED) {
  auto logits_TE = at::zeros({x_TD.size(0), weight_MED.size(1)}, x_TD.options().dtype(at::kFloat));
  for (int64_t m = 0; m < weight_MED.size(0); ++m) {
    const auto rows_R = (modality_T == m).nonzero().flatten();
    logits_TE = logits_TE.index_copy(0, rows_R, gate_logits(x_TD.index_select(0, rows_R), weight_MED.select(0, m)));
  }
  return logits_TE;
}

at::Tensor with_jitter(const RoutingContext& context, double jitter) {
  if (jitter == 0.0 || !context.training) return context.x_TD;
  const auto noise_TD = at::empty_like(context.x_TD, at::kFloat).uniform_(1 - jitter, 1 + jitter, context.generator);
  return context.x_TD.to(at::kFloat) * noise_TD;
}

at::Tensor score_of_logits(const at::Tensor& logits_TE, const std::string& score) {
  return score == "sigmoid" ? logits_TE.sigmoid() : logits_TE.softmax(-1);
}

at::Tensor choice_scores(const Routing& routing) {
  return routing.score_TE.detach().masked_fill(routing.logits_TE.isneginf(), -std::numeric_limits<float>::infinity());
}

at::Tensor top_indices(const at::Tensor& choice_TE, int64_t K) {
  return std::get<1>(choice_TE.detach().sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true)).narrow(1, 0, K);
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

void check_router_sizes(const RouterConfig& c) {
  check<ConfigError>(c.model_dim >= 1, "[moe] model_dim must be at least 1, got ", c.model_dim);
  check<ConfigError>(c.num_experts >= 1, "[moe] num_experts must be at least 1, got ", c.num_experts);
  check<ConfigError>(c.num_null >= 0, "[moe] num_null must not be negative, got ", c.num_null);
  check<ConfigError>(c.experts_per_token >= 1 && c.experts_per_token <= c.num_experts + c.num_null,
                     "[moe] experts_per_token must be in [1, ", c.num_experts + c.num_null, "], got ",
                     c.experts_per_token);
  check<ConfigError>(c.jitter >= 0.0 && c.jitter < 1.0, "[moe] jitter must be in [0, 1), got ", c.jitter);
  check<ConfigError>(c.scale > 0.0 && std::isfinite(c.scale), "[moe] scale must be positive, got ", c.scale);
}

void check_one_of(const std::string& value, const std::vector<std::string>& allowed, const char* key) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  std::string names;
  for (const auto& name : allowed) names += (names.empty() ? "" : " | ") + name;
  fail<ConfigError>("[moe] ", key, " must be ", names, ", got '", value, "'");
}

void refuse_topk_settings(const RouterConfig& c) {
  check<ConfigError>(!c.choice_bias && c.num_groups == 1 && !c.gate_per_modality, "[moe] router '", c.name,
                     "' takes no choice_bias, n_group or gate_per_modality; router 'topk' does");
}

void refuse_null_experts(const RouterConfig& c) {
  check<ConfigError>(c.num_null == 0, "[moe] router '", c.name, "' has no null experts, got num_null ", c.num_null,
                     "; router 'null_experts' has");
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
