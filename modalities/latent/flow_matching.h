// SPDX-License-Identifier: Apache-2.0
// Rectified flow: straight paths from data to noise, the velocity that a model learns, and an Euler sampler.
// Source: Flow Straight and Fast (arXiv:2209.03003); Scaling Rectified Flow Transformers (arXiv:2403.03206), section 3.
// Time: t in [0, 1], 0 is data and 1 is noise; DiT-MoE feeds it to the model unscaled.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <vector>

#include "modalities/latent/sampling.h"

namespace polyphony::latent {

enum class TimeDistribution { logit_normal, uniform };

struct TimeOptions {
  TimeDistribution distribution = TimeDistribution::logit_normal;
  double mean = 0;  // of the normal before the sigmoid
  double deviation = 1;
};

// (B) f32 training times, drawn on the CPU from `generator` (the default generator without one).
at::Tensor sample_times(int64_t batch, const TimeOptions& options = {},
                        const std::optional<at::Generator>& generator = std::nullopt);

// x_t = (1 - t) x0 + t z. Shapes: x0 and z (B, ...), t (B). Throws ShapeError.
at::Tensor flow_interpolate(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& t_B);
// The model's target, z - x0.
at::Tensor flow_velocity(const at::Tensor& x0, const at::Tensor& noise);
// x0 = x_t - t v; velocity = (x_t - x0) / t (t > 0); noise = x_t + (1 - t) v.
at::Tensor flow_x0(const at::Tensor& x_t, const at::Tensor& velocity, const at::Tensor& t_B);
at::Tensor flow_velocity_from_x0(const at::Tensor& x_t, const at::Tensor& x0, const at::Tensor& t_B);
at::Tensor flow_noise(const at::Tensor& x_t, const at::Tensor& velocity, const at::Tensor& t_B);

// Mean squared error against the velocity: mean over each sample, then over the batch; f32, 0-d. A prediction with
// twice the channels of x0 carries learned variances in its second half, which rectified flow does not use.
at::Tensor flow_loss(const at::Tensor& predicted_BCHW, const at::Tensor& x0_BCHW, const at::Tensor& noise_BCHW);

using VelocityModel = std::function<at::Tensor(const at::Tensor& x, double t)>;

struct EulerOptions {
  int64_t steps = 50;
  // Below 1: image to image. ceil(start * steps) steps are run, and x must be noised to euler_times(options).front().
  double start = 1;
  // t' = shift t / (1 + (shift - 1) t): above 1 spends more steps near noise (arXiv:2403.03206, equation 23).
  double shift = 1;
};

// The times that euler_sample visits: descending, ends with 0. Throws ConfigError for values out of range.
std::vector<double> euler_times(const EulerOptions& options);

// Integrates dx/dt = model(x, t) from options.start down to 0. Runs without gradients. `x` is not changed.
// With shift 1 this is DiT-MoE's sampler: t = 1, 1 - 1/n, ..., 1/n.
SampleResult euler_sample(const at::Tensor& x, const VelocityModel& model, const EulerOptions& options = {},
                          const OnStep& on_step = {});

// The times of diffusers' FlowMatchEulerDiscreteScheduler, ending with 0. It applies the shift twice: once to the range
// that the times are spaced over and once to the times. Throws ConfigError.
std::vector<double> diffusers_flow_times(int64_t steps, double shift, int64_t num_train_timesteps = 1000);

// The same integration over given times: descending, the last one is where it ends. Throws ConfigError.
SampleResult euler_integrate(const at::Tensor& x, const VelocityModel& model, const std::vector<double>& times,
                             const OnStep& on_step = {});

}  // namespace polyphony::latent
