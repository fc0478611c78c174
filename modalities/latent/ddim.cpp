// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/ddim.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace polyphony::latent {

std::vector<Transition> ddim_transitions(const NoiseSchedule& schedule, const SpacingOptions& spacing) {
  const std::vector<int64_t> timesteps = spaced_timesteps(schedule, spacing);
  const int64_t stride = schedule.num_timesteps() / spacing.steps;
  std::vector<Transition> out;
  for (const int64_t t : timesteps) out.push_back({.t = t, .to = std::max<int64_t>(t - stride, -1)});
  return out;
}

DdimStep ddim_step(const NoiseSchedule& schedule, const Transition& transition, const at::Tensor& model_output,
                   const at::Tensor& x_t, const DdimOptions& options, const at::Tensor& noise) {
  const double a_t = schedule.at(transition.t);
  const double a_to = transition.to < 0 && !options.final_alpha_one ? schedule.at(0) : schedule.at(transition.to);
  auto [x0, epsilon] = clean_and_noise(without_variance(model_output, x_t), x_t, a_t, options.prediction);
  if (options.clip_sample) x0 = x0.clamp(-1, 1);
  const double variance = (1 - a_to) / (1 - a_t) * (1 - a_t / a_to);
  const double deviation = options.eta * std::sqrt(std::max(variance, 0.0));
  const double direction = std::sqrt(std::max(1 - a_to - deviation * deviation, 0.0));
  at::Tensor x = std::sqrt(a_to) * x0 + direction * epsilon;
  if (deviation > 0) x = x + deviation * noise;
  return {x, x0};
}

SampleResult ddim_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                         const DdimSampleOptions& options, const OnStep& on_step) {
  const at::NoGradGuard no_grad;
  const auto transitions =
      options.transitions.empty() ? ddim_transitions(schedule, options.spacing) : options.transitions;
  const auto num_steps = static_cast<int64_t>(transitions.size());
  SampleResult result{.x = x};
  for (const Transition& transition : transitions) {
    at::Tensor noise;
    if (options.step.eta > 0)
      noise = at::randn(x.sizes(), options.generator, x.options().device(at::kCPU)).to(x.device());
    const auto [next, x0] =
        ddim_step(schedule, transition, model(result.x, transition.t), result.x, options.step, noise);
    result.x = next;
    ++result.steps_done;
    const SampleStep step{.step = result.steps_done,
                          .num_steps = num_steps,
                          .t = static_cast<double>(std::max<int64_t>(transition.to, 0)),
                          .x = result.x,
                          .x0 = x0};
    if (on_step && !on_step(step) && result.steps_done < num_steps) {
      result.finished = false;
      return result;
    }
  }
  return result;
}

}  // namespace polyphony::latent
