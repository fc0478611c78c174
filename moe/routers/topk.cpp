// SPDX-License-Identifier: Apache-2.0
// Top-k router: score, choose K experts, weigh; one class for every published normalisation, and the names of the
// best-known settings.
// Sources: Switch (arXiv:2101.03961), Mixtral (arXiv:2401.04088), DeepSeekMoE (arXiv:2401.06066),
// DeepSeek-V2 (arXiv:2405.04434) group-limited, Ming-Omni (arXiv:2506.09344) a gate per modality, DeepSeek-V3
// (arXiv:2412.19437) section 2.1.2 sigmoid with choice bias.
#include <ATen/ATen.h>

#include <limits>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

std::vector<std::string_view> topk_options() {
  return {"experts_per_token",
          "score",
          "weight_from",
          "normalise",
          "routed_scaling_factor",
          "router_jitter_noise",
          "choice_bias",
          "choice_bias_rate",
          "n_group",
          "topk_group",
          "group_score",
          "gate_per_modality"};
}

// Best score of each group of experts (T, G); a group without a second allowed expert counts its first alone.
at::Tensor score_of_groups(const at::Tensor& choice_TE, int64_t num_groups, const std::string& kind) {
  const auto choice_TGE = choice_TE.reshape({choice_TE.size(0), num_groups, choice_TE.size(1) / num_groups});
  if (kind == "max") return choice_TGE.amax(-1);
  const auto best_TG2 = std::get<0>(choice_TGE.topk(2, -1));
  const auto second_TG = best_TG2.select(2, 1);
  return best_TG2.select(2, 0) + second_TG.masked_fill(second_TG.isneginf(), 0);
}

void check_groups(const RouterConfig& c) {
  check<ConfigError>(c.num_groups >= 1 && c.num_experts % c.num_groups == 0, "[moe] num_groups must divide ",
                     c.num_experts, " experts, got ", c.num_groups);
  check<ConfigError>(c.groups_per_token >= 1 && c.groups_per_token <= c.num_groups,
                     "[moe] groups_per_token must be in [1, ", c.num_groups, "], got ", c.groups_per_token);
  const int64_t group_size = c.num_experts / c.num_groups;
  check<ConfigError>(c.experts_per_token <= c.groups_per_token * group_size, "[moe] experts_per_token ",
                     c.experts_per_token, " does not fit into ", c.groups_per_token, " groups of ", group_size,
                     " experts");
  check<ConfigError>(c.num_groups == 1 || c.group_score != "sum_top2" || group_size >= 2,
                     "[moe] group_score sum_top2 needs groups of at least 2 experts, got ", group_size);
}

class TopKRouter final : public Router {
 public:
  explicit TopKRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    check_groups(config);
    const int64_t E = config.num_experts, D = config.model_dim;
    weight_ = register_parameter("weight", config.gate_per_modality
                                               ? gate_weight(kNumModalities * E, D).reshape({kNumModalities, E, D})
                                               : gate_weight(E, D));
    if (config.choice_bias) bias_ = register_buffer("e_score_correction_bias", at::zeros({config.num_experts}));
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = weights_sum_to_one(config_)};
  }

  Routing route(const RoutingContext& context) override {
    auto routing = scored(context, allowed_of_token(context), logits_of(context), config_.score);
    const auto choice_TE = limited_choice(config_.score == "raw" ? routing.logits_TE.detach() : choice_scores(routing));
    choose_and_weigh(routing, choice_TE, rank_of(context, config_), config_);
    return routing;
  }

  at::Tensor choice_bias() const override { return bias_; }

 private:
  at::Tensor logits_of(const RoutingContext& context) const {
    const auto x_TD = with_jitter(context, config_.jitter);
    return config_.gate_per_modality ? gate_logits_by_modality(x_TD, context.modality_T, weight_)
                                     : gate_logits(x_TD, weight_);
  }

  // The scores to choose by after bias and group limit; -inf is out of the question.
  at::Tensor limited_choice(const at::Tensor& score_TE) const {
    const auto choice_TE = bias_.defined() ? score_TE + bias_ : score_TE;
    if (config_.num_groups == 1) return choice_TE;
    const auto group_TG = score_of_groups(choice_TE, config_.num_groups, config_.group_score);
    const auto stays_TG =
        at::zeros_like(group_TG, at::kBool).scatter_(1, top_indices(group_TG, config_.groups_per_token), true);
    const auto stays_TE = stays_TG.repeat_interleave(config_.num_experts / config_.num_groups, 1);
    return choice_TE.masked_fill(~stays_TE, kMinusInfinity);
  }

  RouterConfig config_;
  at::Tensor weight_, bias_;
};

}  // namespace

RouterEntry topk_router() {
  return {.summary = "takes the K best experts; all published normalisations, choice bias, limited expert groups",
          .source = "Mixtral (arXiv:2401.04088) 2.1; DeepSeek-V3 (arXiv:2412.19437) 2.1.2",
          .options = topk_options(),
          .make = &make_of<TopKRouter>};
}

RouterEntry switch_router() {
  return {.summary = "the best expert alone, weighed by its probability",
          .source = "Switch (arXiv:2101.03961) 2.1",
          .options = {"routed_scaling_factor", "router_jitter_noise"},
          .defaults = {.experts_per_token = 1, .normalise = "none", .jitter = 0.01},
          .make = &make_of<TopKRouter>};
}

RouterEntry device_limited_router() {
  return {.summary = "the K best experts of the devices whose best expert scores highest",
          .source = "DeepSeek-V2 (arXiv:2405.04434) 2.2.2",
          .options = topk_options(),
          .defaults = {.normalise = "none"},
          .make = &make_of<TopKRouter>};
}

RouterEntry sigmoid_bias_router() {
  return {.summary = "the K best sigmoid scores plus a bias that evens the load without a loss",
          .source = "DeepSeek-V3 (arXiv:2412.19437) 2.1.2; Loss-Free Balancing (arXiv:2408.15664)",
          .options = topk_options(),
          .defaults = {.score = "sigmoid", .normalise = "sum_eps", .choice_bias = true, .group_score = "sum_top2"},
          .make = &make_of<TopKRouter>};
}

}  // namespace polyphony::moe
