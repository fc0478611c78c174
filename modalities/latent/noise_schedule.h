// SPDX-License-Identifier: Apache-2.0
// The discrete noise schedule of DDPM models, the timesteps that samplers visit, and what a model may predict.
// Source: Denoising Diffusion Probabilistic Models (arXiv:2006.11239). x_t = sqrt(a_t) x0 + sqrt(1 - a_t) noise.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace polyphony::latent {

// Cumulative products a_t of 1 - beta, for t = 0..T-1; f64, as the original DiT keeps them.
struct NoiseSchedule {
  std::vector<double> alpha_bar;

  int64_t num_timesteps() const { return static_cast<int64_t>(alpha_bar.size()); }
  // 1 for t = -1, which stands for clean data.
  double at(int64_t t) const { return t < 0 ? 1.0 : alpha_bar[static_cast<size_t>(t)]; }
};

// Betas in equal steps from first to last. Throws ConfigError.
NoiseSchedule linear_schedule(int64_t num_timesteps = 1000, double first_beta = 1e-4, double last_beta = 2e-2);

// One step of a sampler: from x at timestep t to x at timestep `to` (-1: clean data).
struct Transition {
  int64_t t;
  int64_t to;
};

enum class Spacing { leading, linspace, trailing };

struct SpacingOptions {
  int64_t steps = 50;
  Spacing spacing = Spacing::leading;
  int64_t offset = 0;  // added to leading timesteps
};

// Descending timesteps as diffusers' DDIM and DDPM schedulers space them. Throws ConfigError.
std::vector<int64_t> spaced_timesteps(const NoiseSchedule& schedule, const SpacingOptions& options);

// Ascending timesteps as the original DiT keeps them: "250" (equal strides, rounded half to even), "10,15,20" (sections
// of equal length with that many each) or "ddim50" (the smallest integer stride that gives exactly so many). Throws
// ConfigError.
std::vector<int64_t> respaced_timesteps(const NoiseSchedule& schedule, std::string_view respacing);

enum class Prediction { epsilon, sample, velocity };

// What a model said about x at one timestep, in the two forms that samplers use.
struct CleanAndNoise {
  at::Tensor x0, epsilon;
};
CleanAndNoise clean_and_noise(const at::Tensor& model_output, const at::Tensor& x_t, double alpha_bar,
                              Prediction prediction);

// sqrt(a_t) x0 + sqrt(1 - a_t) noise with one timestep a sample. Shapes: x0 and noise (B, ...), t i64 (B). Throws
// ShapeError.
at::Tensor add_noise(const NoiseSchedule& schedule, const at::Tensor& x0, const at::Tensor& noise,
                     const at::Tensor& t_B);

// Predicts epsilon (or what Prediction says) from x at timestep t; may append as many variance channels.
using DiscreteModel = std::function<at::Tensor(const at::Tensor& x, int64_t t)>;

// The first half of the channels where the output has twice those of x. Throws ShapeError for other shapes.
at::Tensor without_variance(const at::Tensor& model_output, const at::Tensor& x);

}  // namespace polyphony::latent
