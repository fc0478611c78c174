// SPDX-License-Identifier: Apache-2.0
// Ancestral sampling of DDPM models with fixed or learned variance, as the original DiT does it.
// Source: arXiv:2006.11239, section 3; learned range: Improved DDPM (arXiv:2102.09672), equation 15.
#pragma once
#include <ATen/core/Generator.h>

#include <functional>
#include <optional>
#include <string>

#include "modalities/latent/noise_schedule.h"
#include "modalities/latent/sampling.h"

namespace polyphony::latent {

enum class Variance { fixed_small, learned_range };

// Steps over ascending timesteps, from the last to clean data.
std::vector<Transition> ancestral_transitions(const std::vector<int64_t>& timesteps);

// The Gaussian of x one step earlier.
struct Posterior {
  at::Tensor mean, log_variance, x0;
};

struct DdpmOptions {
  Prediction prediction = Prediction::epsilon;
  Variance variance = Variance::learned_range;  // needs a model output with twice the channels of x
  bool clip_sample = false;                     // clamp the predicted x0 to [-1, 1]
  // Log variance that the last step's lower bound takes, since its true variance is 0: the original takes that of the
  // step before.
  std::optional<double> last_log_variance{};
};

// The posterior after a model's output at one transition. Throws ShapeError.
Posterior ddpm_posterior(const NoiseSchedule& schedule, const Transition& transition, const at::Tensor& model_output,
                         const at::Tensor& x_t, const DdpmOptions& options);

// mean + exp(log_variance / 2) * noise; the mean alone where the transition ends at clean data.
at::Tensor ddpm_step(const Posterior& posterior, const Transition& transition, const at::Tensor& noise);

struct DdpmSampleOptions {
  std::string respacing = "250";
  DdpmOptions step{};
  std::optional<at::Generator>
      generator{};  // noise is drawn at every step, the last one included, as the original does
  std::function<at::Tensor(int64_t step)> noise{};  // or given for each step, 0 first, in the shape of x
};

// Samples from noise x to clean data, without gradients.
SampleResult ddpm_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                         const DdpmSampleOptions& options = {}, const OnStep& on_step = {});

}  // namespace polyphony::latent
