// SPDX-License-Identifier: Apache-2.0
// Does a gate that starts with all experts and ends with one teach better than choosing one from the start?
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kSteps = 1200;

// Rows a token while training: over all steps, and over the first twentieth of them.
struct Density {
  double sum = 0, first_sum = 0;
  int64_t steps = 0, first_steps = 0;

  void add(const LmStep& s) {
    double rows = 0;
    for (const auto& routing : s.output.routings)
      rows += static_cast<double>(routing.token_N.size(0)) / static_cast<double>(routing.num_tokens);
    rows /= static_cast<double>(s.output.routings.size());
    sum += rows;
    ++steps;
    if (s.step > s.num_steps / 20) return;
    first_sum += rows;
    ++first_steps;
  }
};

StudyMetrics run_with_density(TinyLmArm lm, const StudyRun& run) {
  Density density;
  lm.additional_loss = [&](const LmStep& s) {
    density.add(s);
    return at::Tensor();
  };
  auto metrics = run_lm(lm, run);
  metrics["training_experts"] = density.sum / static_cast<double>(density.steps);
  metrics["active"] *= metrics["training_experts"] / metrics["experts_per_token"];
  metrics["first_experts"] = density.first_sum / static_cast<double>(density.first_steps);
  return metrics;
}

StudyArm arm(const std::string& name, const std::string& what, moe::RouterConfig router, int64_t steps) {
  TinyLmArm lm{.model = {.moe = top_2_of_8()}, .num_steps = steps};
  router.num_experts = 8;
  lm.model.moe.router = std::move(router);
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            auto scheduled = lm;
            auto& gate = scheduled.model.moe.router;
            if (gate.name == "dense_to_sparse") {
              gate.temperature_steps = num_steps(lm, run) / 2;
              gate.hard_after = num_steps(lm, run) * 7 / 10;
            }
            return run_with_density(scheduled, run);
          }};
}

}  // namespace

Study dense_to_sparse_study() {
  const auto top_1 = moe::router_defaults("switch"), sparse = moe::router_defaults("dense_to_sparse");
  return {.name = "dense_to_sparse",
          .title = "From all experts to one: the dense-to-sparse gate",
          .source = "EvoMoE (arXiv:2112.14397), section 3.3",
          .setting =
              "A synthetic language, 2 layers of width 64 with 8 experts of width 64, 1,200 steps of 512 tokens. In "
              "the end every arm computes one expert a token. Multiplications are counted while training, as a mean "
              "over the steps.",
          .caveat =
              "At equal steps the dense-to-sparse gate computes more experts while it trains; the arm with twice the "
              "steps is there for that. The paper's first phase, growing the experts from one, is not part of this.",
          .num_seeds = 5,
          .arms = {arm("switch", "one expert a token from the start, with a balance loss", top_1, kSteps),
                   arm("switch, twice the steps", "the same for 2,400 steps", top_1, 2 * kSteps),
                   arm("dense to sparse",
                       "temperature 2 to 0.3 over the first half of the steps, one expert from 70 % of them on", sparse,
                       kSteps)},
          .claims = {{.text = "The dense-to-sparse gate loses less than Switch at equal steps.",
                      .metric = "loss",
                      .arm = "dense to sparse",
                      .than = "switch"},
                     {.text = "It loses no more than Switch at twice the steps.",
                      .metric = "loss",
                      .arm = "dense to sparse",
                      .than = "switch, twice the steps",
                      .rule = ClaimRule::not_worse},
                     {.text = "It starts with nearly all of the 8 experts: more than 7.2 in the first twentieth.",
                      .metric = "first_experts",
                      .arm = "dense to sparse",
                      .rule = ClaimRule::higher,
                      .factor = 7.2},
                     {.text = "It ends with at most 1.5 experts a token.",
                      .metric = "experts_per_token",
                      .arm = "dense to sparse",
                      .factor = 1.5}}};
}

}  // namespace polyphony::pipelines
