// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/ddpm.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::latent {
namespace {

constexpr double kLeastVariance = 1e-20;

// beta and variance of the true posterior of one transition, from the cumulative products at its ends.
struct PosteriorTerms {
  double beta, variance, x0_weight, x_t_weight;
};

PosteriorTerms posterior_terms(const NoiseSchedule& schedule, const Transition& transition) {
  const double a_t = schedule.at(transition.t), a_to = schedule.at(transition.to);
  const double alpha = a_t / a_to, beta = 1 - alpha;
  return {.beta = beta,
          .variance = (1 - a_to) / (1 - a_t) * beta,
          .x0_weight = std::sqrt(a_to) * beta / (1 - a_t),
          .x_t_weight = std::sqrt(alpha) * (1 - a_to) / (1 - a_t)};
}

at::Tensor noise_of_step(const DdpmSampleOptions& options, int64_t step, const at::Tensor& x) {
  if (!options.noise) return at::randn(x.sizes(), options.generator, x.options().device(at::kCPU)).to(x.device());
  const at::Tensor noise = options.noise(step);
  check<ShapeError>(noise.sizes() == x.sizes(), "[ddpm] noise must be ", x.sizes(), ", got ", noise.sizes());
  return noise.to(x.device());
}

}  // namespace

std::vector<Transition> ancestral_transitions(const std::vector<int64_t>& timesteps) {
  std::vector<Transition> out;
  for (size_t i = timesteps.size(); i-- > 0;) out.push_back({.t = timesteps[i], .to = i == 0 ? -1 : timesteps[i - 1]});
  return out;
}

Posterior ddpm_posterior(const NoiseSchedule& schedule, const Transition& transition, const at::Tensor& output,
                         const at::Tensor& x_t, const DdpmOptions& options) {
  const at::Tensor predicted = without_variance(output, x_t);
  at::Tensor x0 = clean_and_noise(predicted, x_t, schedule.at(transition.t), options.prediction).x0;
  if (options.clip_sample) x0 = x0.clamp(-1, 1);
  const PosteriorTerms terms = posterior_terms(schedule, transition);
  double least = std::log(std::max(terms.variance, kLeastVariance));
  if (transition.to < 0) least = options.last_log_variance.value_or(least);
  Posterior posterior{.mean = terms.x0_weight * x0 + terms.x_t_weight * x_t, .log_variance = {}, .x0 = x0};
  if (options.variance == Variance::fixed_small) {
    posterior.log_variance = at::full_like(x_t, least);
    return posterior;
  }
  check<ShapeError>(output.size(1) == 2 * x_t.size(1), "[ddpm] a learned variance needs ", 2 * x_t.size(1),
                    " channels of model output, got ", output.size(1));
  const at::Tensor share = (output.narrow(1, x_t.size(1), x_t.size(1)) + 1) / 2;
  posterior.log_variance = share * std::log(terms.beta) + (1 - share) * least;
  return posterior;
}

at::Tensor ddpm_step(const Posterior& posterior, const Transition& transition, const at::Tensor& noise) {
  if (transition.to < 0) return posterior.mean;
  return posterior.mean + (0.5 * posterior.log_variance).exp() * noise;
}

SampleResult ddpm_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                         const DdpmSampleOptions& options, const OnStep& on_step) {
  const at::NoGradGuard no_grad;
  const auto transitions = ancestral_transitions(respaced_timesteps(schedule, options.respacing));
  const auto num_steps = static_cast<int64_t>(transitions.size());
  SampleResult result{.x = x};
  for (const Transition& transition : transitions) {
    const Posterior posterior =
        ddpm_posterior(schedule, transition, model(result.x, transition.t), result.x, options.step);
    result.x = ddpm_step(posterior, transition, noise_of_step(options, result.steps_done, result.x));
    ++result.steps_done;
    const SampleStep step{.step = result.steps_done,
                          .num_steps = num_steps,
                          .t = static_cast<double>(std::max<int64_t>(transition.to, 0)),
                          .x = result.x,
                          .x0 = posterior.x0};
    if (on_step && !on_step(step) && result.steps_done < num_steps) {
      result.finished = false;
      return result;
    }
  }
  return result;
}

}  // namespace polyphony::latent
