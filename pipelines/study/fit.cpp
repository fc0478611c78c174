// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/fit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "pipelines/train/lr_schedule.h"
#include "pipelines/train/optimizer.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kQuickSteps = 12;

}  // namespace

int64_t steps_of(const FitPlan& plan, const StudyRun& run) {
  return run.quick ? std::min(plan.steps, kQuickSteps) : plan.steps;
}

void fit(torch::nn::Module& model, const StudyRun& run, const FitPlan& plan,
         const std::function<at::Tensor(int64_t step)>& loss) {
  const int64_t steps = steps_of(plan, run);
  const LrSchedule schedule{
      .learning_rate = plan.learning_rate, .warmup_steps = std::max<int64_t>(1, steps / 20), .total_steps = steps};
  Optimizer optimizer(model, {.beta2 = 0.99, .weight_decay = plan.weight_decay, .ema_decay = 0});
  model.train();
  for (int64_t step = 0; step < steps; ++step) {
    if (run.progress) run.progress(step, steps);
    const auto value = loss(step);
    check<NonFiniteError>(std::isfinite(value.item<double>()), "[study] the loss of step ", step, " is not finite");
    value.backward();
    optimizer.step(learning_rate(schedule, step), optimizer.grad_norm());
  }
  model.eval();
}

}  // namespace polyphony::pipelines
