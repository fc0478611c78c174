// SPDX-License-Identifier: Apache-2.0
// DDIM sampling, deterministic (eta 0) or stochastic, with diffusers' conventions.
// Source: Denoising Diffusion Implicit Models (arXiv:2010.02502), equations 12 and 16.
#pragma once
#include <ATen/core/Generator.h>

#include <optional>

#include "modalities/latent/noise_schedule.h"
#include "modalities/latent/sampling.h"

namespace polyphony::latent {

struct DdimOptions {
  Prediction prediction = Prediction::epsilon;
  double eta = 0;               // 0: deterministic, 1: as noisy as DDPM
  bool clip_sample = false;     // clamp the predicted x0 to [-1, 1]; diffusers' default is true, DiT uses false
  bool final_alpha_one = true;  // end at clean data; otherwise at the noise level of timestep 0
};

// Steps of the DDIM scheduler of diffusers: each goes T / steps timesteps down, whatever the spacing.
std::vector<Transition> ddim_transitions(const NoiseSchedule& schedule, const SpacingOptions& spacing);

struct DdimStep {
  at::Tensor x, x0;
};

// One step. `noise` is read only where eta is above 0. A model output with twice the channels of x loses its second
// half.
DdimStep ddim_step(const NoiseSchedule& schedule, const Transition& transition, const at::Tensor& model_output,
                   const at::Tensor& x_t, const DdimOptions& options, const at::Tensor& noise = {});

struct DdimSampleOptions {
  SpacingOptions spacing{};
  std::vector<Transition> transitions{};  // taken instead of `spacing` where there are any
  DdimOptions step{};
  std::optional<at::Generator> generator{};
};

// Samples from noise x to clean data, without gradients.
SampleResult ddim_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                         const DdimSampleOptions& options = {}, const OnStep& on_step = {});

}  // namespace polyphony::latent
