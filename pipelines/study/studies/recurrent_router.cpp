// SPDX-License-Identifier: Apache-2.0
// Does a state that is carried from layer to layer tie the layers' choices together?
// Shapes: T tokens, E experts, A, B layers.
#include <ATen/ATen.h>

#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kDepth = 3, kSteps = 1200;

// Nats that the expert of one layer tells about that of another, from how often each pair was chosen.
double mutual_information(const at::Tensor& count_EE) {
  const auto log_of = [](const at::Tensor& p) { return p.clamp_min(1e-30).log(); };
  const auto p_EE = count_EE / count_EE.sum();
  const auto apart_EE = log_of(p_EE.sum(0, /*keepdim=*/true)) + log_of(p_EE.sum(1, /*keepdim=*/true));
  return (p_EE * (log_of(p_EE) - apart_EE)).sum().item<double>();
}

// Mean over the pairs of layers, of the first choices of held-out tokens.
double mutual_information_of_layers(const TrainedLm& trained, const StudyRun& run) {
  const int64_t E = trained.model->config().moe.router.num_experts;
  auto count_ABE = at::zeros({kDepth, kDepth, E * E}, at::kDouble);
  look_at_held_out(trained, run, [&](const LmBatch&, const LmOutput& output) {
    for (int64_t a = 0; a < kDepth; ++a)
      for (int64_t b = a + 1; b < kDepth; ++b) {
        const auto first_T = output.routings[static_cast<size_t>(a)].logits_TE.argmax(1);
        const auto second_T = output.routings[static_cast<size_t>(b)].logits_TE.argmax(1);
        count_ABE[a][b] += at::bincount(first_T * E + second_T, {}, E * E);
      }
  });
  double sum = 0;
  for (int64_t a = 0; a < kDepth; ++a)
    for (int64_t b = a + 1; b < kDepth; ++b) sum += mutual_information(count_ABE[a][b].reshape({E, E}));
  return sum / (kDepth * (kDepth - 1) / 2.0);
}

StudyArm arm(const std::string& name, const std::string& what, const moe::RouterConfig& router) {
  TinyLmArm lm{.model = {.depth = kDepth, .moe = top_2_of_8()}, .num_steps = kSteps};
  lm.model.moe.router = router;
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            metrics["layer_information"] = mutual_information_of_layers(trained, run);
            return metrics;
          }};
}

}  // namespace

Study recurrent_router_study() {
  const moe::RouterConfig recurrent{.name = "recurrent", .num_experts = 8, .state_dim = 32};
  auto forgetful = recurrent;
  forgetful.recurrence = "reset";
  return {.name = "recurrent_router",
          .title = "A router that remembers the layers before",
          .source = "RMoE (arXiv:2408.06793), section 3",
          .setting =
              "A synthetic language, 3 layers of width 64 with 8 experts, 2 for each token, 1,200 steps of 512 tokens. "
              "All arms compute the same experts. 'Layer information' is what the best expert of one layer tells about "
              "that of another, in nats, as a mean over pairs of layers.",
          .caveat =
              "The paper finds no lower loss at 15 million parameters, and this model is much smaller: that the "
              "loss is not worse and that the layers' choices depend on one another is all that is claimed.",
          .num_seeds = 5,
          .arms = {arm("top-2", "a linear gate in each layer", top_2_of_8().router),
                   arm("recurrent", "a state of width 32 goes from layer to layer through one shared cell", recurrent),
                   arm("no memory", "the same router, but each layer starts from an empty state", forgetful)},
          .claims = {{.text = "The recurrent router loses no more than a linear gate.",
                      .metric = "loss",
                      .arm = "recurrent",
                      .than = "top-2",
                      .rule = ClaimRule::not_worse},
                     {.text = "With it, the experts of different layers tell more about one another than with linear "
                              "gates.",
                      .metric = "layer_information",
                      .arm = "recurrent",
                      .than = "top-2",
                      .rule = ClaimRule::higher},
                     {.text = "The memory does that, not the cell: without it they tell less.",
                      .metric = "layer_information",
                      .arm = "recurrent",
                      .than = "no memory",
                      .rule = ClaimRule::higher}}};
}

}  // namespace polyphony::pipelines
