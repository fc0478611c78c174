// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++ 2M (multistep, midpoint): good samples of DDPM models in 20 steps.
// Source: DPM-Solver++ (arXiv:2211.01095), algorithm 2; spacing and last steps as in diffusers.
#pragma once
#include "modalities/latent/noise_schedule.h"
#include "modalities/latent/sampling.h"

namespace polyphony::latent {

struct DpmSolverOptions {
  int64_t steps = 20;
  Spacing spacing = Spacing::linspace;
  bool karras = false;  // sigmas of Karras et al. (arXiv:2206.00364), equation 5, rho 7
  Prediction prediction = Prediction::epsilon;
};

// Where the solver evaluates the model, and the noise levels sigma = sqrt((1 - a) / a) it steps between: one more, last
// 0.
struct DpmSolverGrid {
  std::vector<int64_t> timesteps;
  std::vector<double> sigmas;
};

// Throws ConfigError.
DpmSolverGrid dpm_solver_grid(const NoiseSchedule& schedule, const DpmSolverOptions& options);

// Samples from noise x to clean data, without gradients. The last step ends at sigma 0 and is therefore first-order.
SampleResult dpm_solver_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                               const DpmSolverOptions& options = {}, const OnStep& on_step = {});

}  // namespace polyphony::latent
