// SPDX-License-Identifier: Apache-2.0
// What each way to balance the experts does to the load of the fullest one, and to the loss.
#include "moe/losses/router_z.h"
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

// Mean squared log-sum of the gate's logits over held-out tokens and layers.
double logit_size(const TrainedLm& trained, const StudyRun& run) {
  double sum = 0, routings = 0;
  look_at_held_out(trained, run, [&](const LmBatch&, const LmOutput& output) {
    for (const auto& routing : output.routings) sum += moe::router_z_loss(routing).item<double>();
    routings += static_cast<double>(output.routings.size());
  });
  return sum / routings;
}

StudyArm arm(const std::string& name, const std::string& what, moe::RouterConfig router,
             std::vector<moe::LossConfig> losses) {
  TinyLmArm lm{.model = {.moe = top_2_of_8()}, .num_steps = 1200};
  router.num_experts = 8;
  lm.model.moe.router = std::move(router);
  lm.model.moe.losses = std::move(losses);
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            metrics["logit_size"] = logit_size(trained, run);
            return metrics;
          }};
}

std::vector<StudyClaim> claims() {
  std::vector<StudyClaim> claims;
  for (const std::string name : {"switch", "importance and load", "choice bias"}) {
    claims.push_back({.text = "'" + name + "' lowers the load of the fullest expert.",
                      .metric = "max_load",
                      .arm = name,
                      .than = "none"});
    claims.push_back({.text = "'" + name + "' does not raise the loss.",
                      .metric = "loss",
                      .arm = name,
                      .than = "none",
                      .rule = ClaimRule::not_worse});
  }
  claims.push_back(
      {.text = "The z-loss makes the gate's logits smaller.", .metric = "logit_size", .arm = "z", .than = "none"});
  claims.push_back({.text = "The z-loss does not raise the loss.",
                    .metric = "loss",
                    .arm = "z",
                    .than = "none",
                    .rule = ClaimRule::not_worse});
  return claims;
}

}  // namespace

Study balance_losses_study() {
  const moe::RouterConfig top_2{};
  auto noisy = moe::router_defaults("noisy_topk");
  noisy.noise = "fixed";
  return {.name = "balance_losses",
          .title = "Ways to balance the experts",
          .source =
              "Switch (arXiv:2101.03961), V-MoE (arXiv:2106.05974), DeepSeek-V3 (arXiv:2412.19437), "
              "ST-MoE (arXiv:2202.08906)",
          .setting =
              "A synthetic language, 2 layers of width 64 with 8 experts of width 64, 2 for each token, 1,200 steps of "
              "512 tokens. The fullest expert is measured against the mean of all. 'Logit size' is the mean squared "
              "log-sum of the gate's logits.",
          .caveat = "So small a model hardly suffers from uneven experts: a lower loss is not claimed.",
          .num_seeds = 5,
          .arms = {arm("none", "nothing balances", top_2, {}),
                   arm("switch", "loss on first choices, weight 0.01", top_2, {{.name = "switch", .weight = 0.01}}),
                   arm("importance and load", "noisy gate, both losses with weight 0.005", noisy,
                       {{.name = "importance", .weight = 0.005}, {.name = "load", .weight = 0.005}}),
                   arm("choice bias", "sigmoid gate, a bias that follows the load by 0.001 a step, no loss",
                       moe::router_defaults("sigmoid_bias"), {}),
                   arm("z", "loss on the size of the logits, weight 0.001; does not balance by itself", top_2,
                       {{.name = "router_z", .weight = 0.001}})},
          .claims = claims()};
}

}  // namespace polyphony::pipelines
