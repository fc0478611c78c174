// SPDX-License-Identifier: Apache-2.0
// The training loop of the studies' small tasks.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <functional>

#include "pipelines/study/study.h"

namespace polyphony::pipelines {

struct FitPlan {
  int64_t steps = 1000;
  double learning_rate = 2e-3;  // peak: a twentieth of the steps leads up to it, a cosine down to a hundredth of it
  double weight_decay = 0.0;
};

// The plan's steps, or a handful in a quick run.
int64_t steps_of(const FitPlan& plan, const StudyRun& run);

// AdamW on loss(step), a scalar with a gradient, for step 0, 1, ... Parameters that get no gradient in a step stay as
// they are in it. Throws NonFiniteError naming the step if a loss is not finite.
void fit(torch::nn::Module& model, const StudyRun& run, const FitPlan& plan,
         const std::function<at::Tensor(int64_t step)>& loss);

}  // namespace polyphony::pipelines
