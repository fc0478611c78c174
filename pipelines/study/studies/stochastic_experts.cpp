// SPDX-License-Identifier: Apache-2.0
// Experts drawn by chance: does the consistency loss make two random passes agree?
#include "moe/losses/consistency.h"
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kSteps = 1000;

TinyLmArm one_of_4(moe::RouterConfig router) {
  TinyLmArm lm{.model = {.moe = {.router = std::move(router), .experts = {.expert_hidden = 128}}}, .num_steps = kSteps};
  lm.model.moe.router.num_experts = 4;
  return lm;
}

// Symmetric divergence, in nats a token, of two passes over held-out text whose experts are drawn independently.
double gap_of_passes(const TrainedLm& trained, const StudyRun& run) {
  const auto other = with_router(trained, [](moe::RouterConfig& router) { router.hash_seed += 1; });
  other.model->eval();
  double sum = 0, batches = 0;
  look_at_held_out(trained, run, [&](const LmBatch& batch, const LmOutput& output) {
    const auto second = other.model->forward(batch, other.num_steps);
    sum += moe::consistency_loss(output.logits_TV, second.logits_TV).item<double>();
    ++batches;
  });
  return sum / batches;
}

// Every step passes its batch twice: two cross entropies and alpha times the divergence of the passes.
StudyArm stochastic(const std::string& name, const std::string& what, double alpha) {
  auto lm = one_of_4(moe::router_defaults("stochastic"));
  lm.additional_loss = [alpha](const LmStep& s) {
    const auto second = s.model.forward(s.batch, s.step);
    return lm_loss(second, s.batch) + alpha * moe::consistency_loss(s.output.logits_TV, second.logits_TV);
  };
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            metrics["gap"] = gap_of_passes(trained, run);
            return metrics;
          }};
}

StudyArm switch_arm() {
  auto lm = one_of_4(moe::router_defaults("switch"));
  lm.model.moe.losses = {{.name = "expert_balance", .weight = 0.01}};
  return {.name = "switch",
          .what = "the best expert by a learned gate; one pass a step",
          .run = [lm](const StudyRun& run) { return run_lm(lm, run); }};
}

}  // namespace

Study stochastic_experts_study() {
  return {
      .name = "stochastic_experts",
      .title = "Experts drawn by chance that learn to agree",
      .source = "THOR (arXiv:2110.04260), section 3",
      .setting =
          "A synthetic language, 2 layers of width 64 with 4 experts of width 128, one for each token, 1,000 steps of "
          "512 tokens. 'Gap' is the symmetric divergence of two passes over held-out text with independent draws, in "
          "nats a token.",
      .caveat =
          "The paper's gain in quality is on scarce data; here every step draws new text, and the random arms "
          "pass it twice.",
      .num_seeds = 5,
      .arms = {switch_arm(), stochastic("alpha 0", "random experts, two passes a step, no consistency loss", 0.0),
               stochastic("alpha 5", "the same with a consistency loss of weight 5", 5.0)},
      .claims = {{.text = "The consistency loss makes the gap between two random passes at least five times smaller.",
                  .metric = "gap",
                  .arm = "alpha 5",
                  .than = "alpha 0",
                  .factor = 0.2},
                 {.text = "The loss of random experts is not worse for it.",
                  .metric = "loss",
                  .arm = "alpha 5",
                  .than = "alpha 0",
                  .rule = ClaimRule::not_worse},
                 {.text = "Random experts that agree lose no more than a learned gate.",
                  .metric = "loss",
                  .arm = "alpha 5",
                  .than = "switch",
                  .rule = ClaimRule::not_worse}}};
}

}  // namespace polyphony::pipelines
