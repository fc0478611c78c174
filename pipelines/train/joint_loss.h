// SPDX-License-Identifier: Apache-2.0
// One step of the joint model's training: its noisy batch, and what is lost on it.
#pragma once
#include "pipelines/train/joint_samples.h"
#include "pipelines/train/objective.h"

namespace polyphony::pipelines {

struct JointStep {
  JointInput input = {};
  at::Tensor clean_BCHW = {};  // the latents that were made noisy, f32
};

// Times, noise and dropped prompts come from `generator`; make it from (seed, step), as joint_generator does.
JointStep joint_step(JointData& data, const JointRecipe& recipe, at::Generator& generator, int64_t step);
at::Generator joint_generator(uint64_t seed, int64_t step);

// Flow (weight 1 / max(t, min_t)^2), next words, balance of the experts' load within each group and router z-loss.
// The model's output must be that of the step's input. Parts: flow, clean_mse, words, balance, router_z.
Loss joint_loss(const JointOutput& out, const JointStep& step, const JointRecipe& recipe,
                const std::vector<moe::ExpertGroup>& groups);

}  // namespace polyphony::pipelines
