// SPDX-License-Identifier: Apache-2.0
// Do experts that cost next to nothing raise the throughput of the expert layer at no worse loss?
// Shapes: T tokens, D width, E experts.
#include <ATen/ATen.h>

#include <algorithm>
#include <ctime>

#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kSteps = 1200;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Seconds that the experts of a layer take for this routing: the least of five tries.
double seconds_of(moe::MoELayer& layer, const moe::Routing& routing) {
  const auto x_TD = at::ones({routing.num_tokens, layer.config().router.model_dim});
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double start = cpu_seconds();
    layer.forward(x_TD, routing);
    least = std::min(least, cpu_seconds() - start);
  }
  return least;
}

void look_at_layers(StudyMetrics& metrics, const TrainedLm& trained, const StudyRun& run) {
  double tokens = 0, seconds = 0, change = 0;
  look_at_held_out(trained, run, [&](const LmBatch&, const LmOutput& output) {
    const auto& r = output.routings;
    for (size_t l = 0; l < r.size(); ++l) seconds += seconds_of(*trained.model->backbone()->blocks()[l]->moe(), r[l]);
    tokens += static_cast<double>(r[0].num_tokens);
    change += (r[1].score_TE - r[0].score_TE).square().sum().item<double>();
  });
  metrics["expert_layer_tokens_per_second"] = tokens / seconds;
  metrics["layer_change"] = change / tokens;
}

StudyArm arm(const std::string& name, const std::string& what, const moe::MoEConfig& moe) {
  const TinyLmArm lm{.model = {.moe = moe}, .num_steps = kSteps};
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            look_at_layers(metrics, trained, run);
            return metrics;
          }};
}

moe::MoEConfig plain() {
  auto moe = top_2_of_8();
  moe.experts.expert_hidden = 128;
  return moe;
}

// In balance 2 x 0.75 x 8 / (0.75 x 8 + 4) = 1.2 MLPs a token.
moe::MoEConfig eight_and_four(const std::string& router) {
  auto moe = plain();
  moe.router.name = router;
  moe.router.num_experts = 12;
  moe.experts.name = "zero_computation";
  moe.losses = {{.name = "heterogeneous_balance", .weight = 0.01, .dear_share = 0.75}};
  return moe;
}

}  // namespace

Study zero_computation_study() {
  return {.name = "zero_computation",
          .title = "Experts that cost nothing: zero, copy and constant",
          .source = "MoE++ (arXiv:2410.07348), section 3",
          .setting =
              "A synthetic language, 2 layers of width 64, 8 MLP experts of width 128, 2 experts for each token, 1,200 "
              "steps of 512 tokens. Only MLPs count as computed experts. Throughput is that of routed experts with "
              "their dispatch, in processor time for 1,024 tokens at once. 'Layer change' is the squared difference of "
              "the routing probabilities of the two layers, summed over the experts.",
          .caveat =
              "Experts this small leave much of the time to dispatch: larger ones would gain more. Throughput is "
              "measured while another run may use the machine.",
          .num_seeds = 5,
          .arms = {arm("top-2", "8 MLPs", plain()),
                   arm("8 + 4", "8 MLPs, 2 constant experts, a copy and a zero; a gate that adds the layer's before",
                       eight_and_four("gating_residual")),
                   arm("no residual", "the same experts, each layer with a gate by itself", eight_and_four("topk"))},
          .claims = {{.text = "With experts that cost nothing, tokens call at least 1.1 times fewer MLPs.",
                      .metric = "expert_calls",
                      .arm = "8 + 4",
                      .than = "top-2",
                      .factor = 1 / 1.1},
                     {.text = "The expert layer passes at least 1.1 times as many tokens a second.",
                      .metric = "expert_layer_tokens_per_second",
                      .arm = "8 + 4",
                      .than = "top-2",
                      .rule = ClaimRule::higher,
                      .factor = 1.1},
                     {.text = "The loss is not worse.",
                      .metric = "loss",
                      .arm = "8 + 4",
                      .than = "top-2",
                      .rule = ClaimRule::not_worse},
                     {.text = "Gating residuals make the probabilities change less from layer to layer.",
                      .metric = "layer_change",
                      .arm = "8 + 4",
                      .than = "no residual"}}};
}

}  // namespace polyphony::pipelines
