// SPDX-License-Identifier: Apache-2.0
// System 39: clicks of users of four kinds, told apart by what they did before; the gate reads that history itself, or
// only its pooled sum.
#include <ATen/ATen.h>

#include <cmath>

#include "core/nn/linear.h"
#include "core/rng.h"
#include "moe/dispatch.h"
#include "moe/expert_bank.h"
#include "moe/losses/contrastive.h"
#include "moe/router.h"
#include "pipelines/study/fit.h"
#include "pipelines/study/open_routing.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kKinds = 4, kAttributes = 8, kLongest = 30, kShort = 3;
constexpr int64_t kDim = 32, kExperts = 4, kChosen = 2, kHidden = 32;
constexpr int64_t kBatch = 128, kTestBatches = 128;
constexpr FitPlan kPlan{.steps = 3000, .learning_rate = 3e-3};
constexpr double kContrastWeight = 0.05, kForgotten = 0.2;  // share of the history that the second view lacks

// Impressions, packed: each is a history of items and then the item that is shown.
struct ClickBatch {
  at::Tensor item_TA;    // f32 (T, 9): eight attributes of -1 or 1, and whether it is the one shown
  at::Tensor sample_T;   // i64
  at::Tensor shown_B;    // i64, row of the shown item
  at::Tensor length_B;   // i64, items of the history
  at::Tensor clicked_B;  // f32, 0 or 1
};

// What each kind of user likes: single attributes in the history, pairs of them in what is clicked.
struct ClickWorld {
  at::Tensor taste_KA, pairs_KAA;
  uint64_t seed;

  explicit ClickWorld(uint64_t run_seed) : seed(run_seed) {
    auto g = make_generator(derive_seed(seed, "world"));
    taste_KA = 2.0 * at::randint(2, {kKinds, kAttributes}, g).to(at::kFloat) - 1;
    pairs_KAA = (0.5 * at::randn({kKinds, kAttributes, kAttributes}, g)).triu(1);
  }

  ClickBatch draw(const char* stream, uint64_t index) const {
    auto g = make_generator(derive_seed(seed, stream, index));
    const auto kind_B = at::randint(kKinds, {kBatch}, g);
    // Zipf: a history of n items is drawn 1 / (n + 1) times as often as none.
    const auto length_B = at::multinomial(1.0 / at::arange(1, kLongest + 2).to(at::kFloat), kBatch, true, g);
    const auto follows_BSA = at::rand({kBatch, kLongest, kAttributes}, g) < 0.75;
    const auto history_BSA = taste_KA.index_select(0, kind_B).unsqueeze(1) * at::where(follows_BSA, 1.0f, -1.0f);
    const auto shown_BA = 2.0 * at::randint(2, {kBatch, kAttributes}, g).to(at::kFloat) - 1;
    const auto pairs_BAA = pairs_KAA.index_select(0, kind_B);
    const auto logit_B = (at::bmm(shown_BA.unsqueeze(1), pairs_BAA).squeeze(1) * shown_BA).sum(1);
    const auto role_BS1 = (at::arange(kLongest + 1) == kLongest).to(at::kFloat).view({1, -1, 1});
    const auto item_BSA =
        at::cat({at::cat({history_BSA, shown_BA.unsqueeze(1)}, 1), role_BS1.expand({kBatch, kLongest + 1, 1})}, 2);
    const auto place_S = at::arange(kLongest + 1);
    const auto kept_BS = (place_S < length_B.unsqueeze(1)) | (place_S == kLongest);
    const auto kept_T2 = kept_BS.nonzero();
    return {.item_TA = item_BSA.index({kept_T2.select(1, 0), kept_T2.select(1, 1)}),
            .sample_T = kept_T2.select(1, 0).contiguous(),
            .shown_B = kept_BS.sum(1).cumsum(0) - 1,
            .length_B = length_B,
            .clicked_B = (at::rand({kBatch}, g) < logit_B.sigmoid()).to(at::kFloat)};
  }
};

enum class GateKind { none, pooled, history };

struct Ranking {
  GateKind gate = GateKind::none;
  bool contrast = false;
};

moe::RouterConfig router_of(GateKind gate) {
  auto config = moe::router_defaults(gate == GateKind::none     ? "uniform"
                                     : gate == GateKind::pooled ? "topk"
                                                                : "attention_weighted");
  config.model_dim = gate == GateKind::history ? kDim : 2 * kDim;
  config.num_experts = gate == GateKind::none ? 1 : kExperts;
  config.experts_per_token = gate == GateKind::none ? 1 : kChosen;
  if (gate == GateKind::history) config.history_dropout = kForgotten;
  return config;
}

// The rows of some tokens, which become the tokens 0, 1, ... of the result.
moe::Routing rows_of(const moe::Routing& all, const at::Tensor& token_B) {
  const auto place_T = at::full({all.num_tokens}, -1, at::kLong).index_copy(0, token_B, at::arange(token_B.size(0)));
  const auto row_R = (place_T.index_select(0, all.token_N) >= 0).nonzero().flatten();
  moe::Routing some{.num_tokens = token_B.size(0), .num_experts = all.num_experts};
  some.token_N = place_T.index_select(0, all.token_N.index_select(0, row_R));
  some.expert_N = all.expert_N.index_select(0, row_R);
  some.weight_N = all.weight_N.index_select(0, row_R);
  some.score_TE = all.score_TE.index_select(0, token_B);
  return some;
}

class Ranker : public torch::nn::Module {
 public:
  explicit Ranker(GateKind gate) : gate_kind_(gate), router_config_(router_of(gate)) {
    const int64_t E = router_config_.num_experts;
    item_in_ = register_module("item_in", nn::Linear(kAttributes + 1, kDim));
    asks_ = register_module("asks", nn::Linear(kDim, kDim));
    gate_ = register_module("gate", moe::make_router(router_config_));
    experts_ = register_module(
        "experts",
        moe::make_expert_bank(
            {.model_dim = 2 * kDim, .num_experts = E, .expert_hidden = E == 1 ? kChosen * kHidden : kHidden}));
    head_ = register_module("head", nn::Linear(2 * kDim, 1));
  }

  struct Output {
    at::Tensor logit_B, gate_BE, partial_gate_BE;  // the latter from a part of the history; undefined unless asked for
  };
  Output forward(const ClickBatch& batch, at::Generator* forget) {
    const auto x_TD = at::silu(item_in_->forward(batch.item_TA));
    const auto shown_BD = x_TD.index_select(0, batch.shown_B);
    const auto v_BV = at::cat({pooled(x_TD, shown_BD, batch), shown_BD}, 1);
    const auto routing = route(x_TD, v_BV, batch, nullptr);
    const auto y_BV =
        experts_->forward({.x_TD = v_BV, .plan = moe::plan_dispatch(routing), .weight_N = routing.weight_N});
    Output out{.logit_B = head_->forward(v_BV + y_BV).squeeze(1), .gate_BE = routing.score_TE, .partial_gate_BE = {}};
    if (forget) out.partial_gate_BE = route(x_TD, v_BV, batch, forget).score_TE;
    return out;
  }

 private:
  // Attention of the shown item to the history, as in DIN: (B, D).
  at::Tensor pooled(const at::Tensor& x_TD, const at::Tensor& shown_BD, const ClickBatch& batch) {
    const auto ask_TD = asks_->forward(shown_BD).index_select(0, batch.sample_T);
    const auto past_T = at::ones({x_TD.size(0)}).index_fill(0, batch.shown_B, 0);
    const auto weight_T1 = ((ask_TD * x_TD).sum(1) / std::sqrt(static_cast<double>(kDim))).sigmoid().mul(past_T);
    const auto sum_BD = at::zeros_like(shown_BD).index_add(0, batch.sample_T, x_TD * weight_T1.unsqueeze(1));
    return sum_BD / (batch.length_B.unsqueeze(1) + 1).to(at::kFloat);
  }

  moe::Routing route(const at::Tensor& x_TD, const at::Tensor& v_BV, const ClickBatch& batch, at::Generator* forget) {
    auto context = open_context(gate_kind_ == GateKind::history ? x_TD : v_BV, router_config_.num_experts, false);
    if (gate_kind_ != GateKind::history) return gate_->route(context);
    context.sample_T = batch.sample_T;
    context.training = forget != nullptr;  // only then items of the history are left out
    if (forget) context.generator = *forget;
    return rows_of(gate_->route(context), batch.shown_B);
  }

  GateKind gate_kind_;
  moe::RouterConfig router_config_;
  nn::Linear item_in_{nullptr}, asks_{nullptr}, head_{nullptr};
  std::shared_ptr<moe::Router> gate_;
  std::shared_ptr<moe::ExpertBank> experts_;
};

// Chance that a clicked impression scores above one that was not.
double area_under_curve(const at::Tensor& score_N, const at::Tensor& clicked_N) {
  const auto clicked_sorted_N = clicked_N.index_select(0, score_N.argsort()).to(at::kDouble);
  const double positive = clicked_sorted_N.sum().item<double>();
  const double negative = static_cast<double>(clicked_N.size(0)) - positive;
  const auto below_N = (1 - clicked_sorted_N).cumsum(0);
  return (clicked_sorted_N * below_N).sum().item<double>() / (positive * negative);
}

StudyMetrics run_arm(const StudyRun& run, const Ranking& ranking) {
  const ClickWorld world(run.seed);
  Ranker model(ranking.gate);
  fit(model, run, kPlan, [&](int64_t step) {
    const auto batch = world.draw("train", static_cast<uint64_t>(step));
    auto forget = make_generator(derive_seed(run.seed, "forget", static_cast<uint64_t>(step)));
    const auto out = model.forward(batch, ranking.contrast ? &forget : nullptr);
    const auto loss = at::binary_cross_entropy_with_logits(out.logit_B, batch.clicked_B);
    return ranking.contrast ? loss + kContrastWeight * moe::gate_contrastive_loss(out.gate_BE, out.partial_gate_BE)
                            : loss;
  });
  const c10::NoGradGuard no_grad;
  auto forget = make_generator(derive_seed(run.seed, "forget test"));
  std::vector<at::Tensor> logit, clicked, length, alike;
  for (int64_t i = 0; i < (run.quick ? 8 : kTestBatches); ++i) {
    const auto batch = world.draw("test", static_cast<uint64_t>(i));
    const auto out = model.forward(batch, ranking.gate == GateKind::history ? &forget : nullptr);
    logit.push_back(out.logit_B);
    clicked.push_back(batch.clicked_B);
    length.push_back(batch.length_B);
    if (out.partial_gate_BE.defined()) alike.push_back(at::cosine_similarity(out.gate_BE, out.partial_gate_BE, 1));
  }
  const auto logit_N = at::cat(logit), clicked_N = at::cat(clicked);
  const auto short_S = (at::cat(length) <= kShort).nonzero().flatten();
  StudyMetrics metrics = {
      {"loss", at::binary_cross_entropy_with_logits(logit_N, clicked_N).item<double>()},
      {"auc", area_under_curve(logit_N, clicked_N)},
      {"auc_short", area_under_curve(logit_N.index_select(0, short_S), clicked_N.index_select(0, short_S))},
      {"active", static_cast<double>(kChosen * kHidden * 3 * 2 * kDim)}};
  if (!alike.empty()) metrics["gates_alike"] = at::cat(alike).mean().item<double>();
  return metrics;
}

StudyArm arm(const std::string& name, const std::string& what, const Ranking& ranking) {
  return {.name = name, .what = what, .run = [=](const StudyRun& run) { return run_arm(run, ranking); }};
}

}  // namespace

Study attention_gate_study() {
  return {
      .name = "attention_gate",
      .title = "A gate that reads the user's history",
      .source = "AW-MoE (arXiv:2306.05011), section 3",
      .setting =
          "A made click log: users of 4 hidden kinds with histories of 0 to 30 items (most are short); a click "
          "depends on pairs of the shown item's 8 attributes, other pairs for each kind. 4 experts of which 2 "
          "are used; 3,000 steps of 128 impressions, tested on 16,384 new ones. AUC is the chance that a "
          "clicked impression scores above one that was not; `auc_short` is that of histories of at most 3.",
      .caveat = "The kinds of users are planted; real logs need not have them.",
      .num_seeds = 5,
      .arms = {arm("dense", "one expert as wide as two: the floor of equal active size", {}),
               arm("plain gate", "softmax gate on the pooled history and the shown item, 2 of 4 experts",
                   {.gate = GateKind::pooled}),
               arm("attention gate", "gate summed over the history by attention, 2 of 4 experts",
                   {.gate = GateKind::history}),
               arm("attention gate, contrastive", "the same, and gates from a part of the history are to be alike",
                   {.gate = GateKind::history, .contrast = true})},
      .claims = {{.text = "The gate that reads the history ranks better than the plain gate.",
                  .metric = "auc",
                  .arm = "attention gate",
                  .than = "plain gate",
                  .rule = ClaimRule::higher},
                 {.text = "It ranks better than the dense network of equal active size.",
                  .metric = "auc",
                  .arm = "attention gate",
                  .than = "dense",
                  .rule = ClaimRule::higher},
                 {.text = "The contrastive loss makes gates from a part of the history more like those from all of it.",
                  .metric = "gates_alike",
                  .arm = "attention gate, contrastive",
                  .than = "attention gate",
                  .rule = ClaimRule::higher},
                 {.text = "The contrastive loss helps users with at most 3 items of history.",
                  .metric = "auc_short",
                  .arm = "attention gate, contrastive",
                  .than = "attention gate",
                  .rule = ClaimRule::higher}}};
}

}  // namespace polyphony::pipelines
