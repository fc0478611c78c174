// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/lm_arms.h"

#include <c10/core/InferenceMode.h>

namespace polyphony::pipelines {
namespace {

void copy_tensors(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from.at(i));
}

}  // namespace

moe::MoEConfig top_2_of_8() {
  return {.router = {.num_experts = 8, .experts_per_token = 2},
          .experts = {.expert_hidden = 64},
          .losses = {{.name = "expert_balance", .weight = 0.01}}};
}

moe::MoEConfig dense_mlp(int64_t hidden) {
  return {.router = {.num_experts = 1, .experts_per_token = 1}, .experts = {.expert_hidden = hidden}};
}

StudyArm lm_arm(const std::string& name, const std::string& what, const moe::MoEConfig& moe, int64_t num_steps) {
  const TinyLmArm arm{.model = {.moe = moe}, .num_steps = num_steps};
  return {.name = name, .what = what, .run = [arm](const StudyRun& run) { return run_lm(arm, run); }};
}

StudyMetrics run_lm_by_difficulty(const TinyLmArm& arm, const StudyRun& run) {
  auto metrics = run_lm(arm, run);
  metrics["hard_minus_easy"] = metrics.at("calls_hard") - metrics.at("calls_easy");
  return metrics;
}

void look_at_held_out(const TrainedLm& trained, const StudyRun& run, const LmLook& look) {
  const c10::InferenceMode inference;
  auto& model = *trained.model;
  model.eval();
  for (int64_t i = 0; i < (run.quick ? 1 : 16); ++i) {
    const auto batch = held_out_batch(model.config().language, i, {.num_samples = 32, .length = 32});
    look(batch, model.forward(batch, trained.num_steps));
  }
  model.train();
}

TrainedLm with_router(const TrainedLm& trained, const std::function<void(moe::RouterConfig&)>& change) {
  auto config = trained.model->config();
  change(config.moe.router);
  TrainedLm out{.model = std::make_shared<TinyLm>(config), .num_steps = trained.num_steps};
  copy_tensors(trained.model->parameters(), out.model->parameters());
  copy_tensors(trained.model->buffers(), out.model->buffers());
  return out;
}

}  // namespace polyphony::pipelines
