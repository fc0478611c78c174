// SPDX-License-Identifier: Apache-2.0
// Attention-weighted router: a token's gate is a sum over the history of its sample, each item's gate vector times how
// much the token attends to it.
// Source: AW-MoE (arXiv:2306.05011) section 3: g = sum_j w_j r_j. Both units are ours, since the paper's sizes are not
// published: in gate_dim dimensions with item b and target q, w = sigmoid(b . A q) and r = R1 b + R2 (b q) + R3 q. The
// context's attention_T, where given, multiplies w. history "past" sees the token itself and those before it in its
// sample, "sample" sees all. history_dropout leaves items out while training, for the contrastive loss of two passes.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/competition.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class AttentionWeightedRouter final : public Router {
 public:
  explicit AttentionWeightedRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    const int64_t E = config.num_experts, P = config.gate_dim, D = config.model_dim;
    weight_ = register_parameter("weight", gate_weight(E, 3 * P));
    item_ = register_parameter("item", gate_weight(P, D));
    target_ = register_parameter("target", gate_weight(P, D));
    match_ = register_parameter("match", gate_weight(P, P));
    default_ = register_parameter("default_gate", at::zeros({E}));
  }

  RouterTraits traits() const override {
    const bool past = config_.history == "past";
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = weights_sum_to_one(config_),
            .causal = past,
            .looks_back = past,
            .permutation_equivariant = !past};
  }

  Routing route(const RoutingContext& context) override {
    const auto item_TP = gate_logits(context.x_TD, item_), target_TP = gate_logits(context.x_TD, target_);
    auto attention_TT = gate_logits(gate_logits(target_TP, match_), item_TP).sigmoid() * seen(context);
    if (context.attention_T.defined()) attention_TT = attention_TT * received(context).to(attention_TT.scalar_type());
    const auto history_TP = at::matmul(attention_TT, item_TP);
    const auto sum_T1 = attention_TT.sum(1, /*keepdim=*/true);
    const auto units = at::cat({history_TP, history_TP * target_TP, sum_T1 * target_TP}, 1);
    // A token that sees nothing falls back to the learned default.
    return token_choice(context, gate_logits(units, weight_) + default_, config_);
  }

 private:
  // bool (T, T): does the row's token see the column's.
  at::Tensor seen(const RoutingContext& context) const {
    const auto sample_T = pool_of_token(context, "sample");
    auto seen_TT = sample_T.unsqueeze(1) == sample_T.unsqueeze(0);
    if (config_.history == "past") seen_TT = seen_TT.tril();
    if (!context.training || config_.history_dropout == 0.0) return seen_TT;
    const auto stays_T =
        at::empty({sample_T.size(0)}, context.x_TD.options().dtype(at::kFloat)).uniform_(0, 1, context.generator) >=
        config_.history_dropout;
    return seen_TT & stays_T;
  }

  at::Tensor received(const RoutingContext& context) const {
    check<ShapeError>(context.attention_T.dim() == 1 && context.attention_T.size(0) == context.x_TD.size(0),
                      "[router] attention must be (", context.x_TD.size(0), ")");
    return context.attention_T;
  }

  RouterConfig config_;
  at::Tensor weight_, item_, target_, match_, default_;
};

}  // namespace

RouterEntry attention_weighted_router() {
  return {.summary = "a gate summed over a sample's tokens by attention",
          .source = "AW-MoE (arXiv:2306.05011) 3",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor", "gate_dim",
                      "history", "history_dropout"},
          .make = &make_of<AttentionWeightedRouter>};
}

}  // namespace polyphony::moe
