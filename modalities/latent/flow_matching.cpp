// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/flow_matching.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::latent {
namespace {

// t as (B, 1, ..., 1) in the dtype of x.
at::Tensor broadcast_time(const char* where, const at::Tensor& t_B, const at::Tensor& x) {
  check<ShapeError>(x.dim() >= 1 && t_B.dim() == 1 && t_B.size(0) == x.size(0), where, " expected one time a sample (",
                    x.dim() >= 1 ? x.size(0) : 0, "), got ", t_B.sizes());
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return t_B.to(x.options()).view(shape);
}

void check_same_shape(const char* where, const at::Tensor& a, const at::Tensor& b) {
  check<ShapeError>(a.sizes() == b.sizes(), where, " expected two tensors of one shape, got ", a.sizes(), " and ",
                    b.sizes());
}

}  // namespace

at::Tensor sample_times(int64_t batch, const TimeOptions& options, const std::optional<at::Generator>& generator) {
  check<ShapeError>(batch >= 0, "[sample_times] batch must not be negative, got ", batch);
  if (options.distribution == TimeDistribution::uniform) return at::rand({batch}, generator, at::kFloat);
  return (at::randn({batch}, generator, at::kFloat) * options.deviation + options.mean).sigmoid();
}

at::Tensor flow_interpolate(const at::Tensor& x0, const at::Tensor& noise, const at::Tensor& t_B) {
  check_same_shape("[flow_interpolate]", x0, noise);
  const at::Tensor t = broadcast_time("[flow_interpolate]", t_B, x0);
  return (1 - t) * x0 + t * noise;
}

at::Tensor flow_velocity(const at::Tensor& x0, const at::Tensor& noise) {
  check_same_shape("[flow_velocity]", x0, noise);
  return noise - x0;
}

at::Tensor flow_x0(const at::Tensor& x_t, const at::Tensor& velocity, const at::Tensor& t_B) {
  check_same_shape("[flow_x0]", x_t, velocity);
  return x_t - broadcast_time("[flow_x0]", t_B, x_t) * velocity;
}

at::Tensor flow_velocity_from_x0(const at::Tensor& x_t, const at::Tensor& x0, const at::Tensor& t_B) {
  check_same_shape("[flow_velocity_from_x0]", x_t, x0);
  return (x_t - x0) / broadcast_time("[flow_velocity_from_x0]", t_B, x_t);
}

at::Tensor flow_noise(const at::Tensor& x_t, const at::Tensor& velocity, const at::Tensor& t_B) {
  check_same_shape("[flow_noise]", x_t, velocity);
  return x_t + (1 - broadcast_time("[flow_noise]", t_B, x_t)) * velocity;
}

at::Tensor flow_loss(const at::Tensor& predicted, const at::Tensor& x0, const at::Tensor& noise) {
  check<ShapeError>(predicted.dim() >= 2 && x0.dim() == predicted.dim(),
                    "[flow_loss] expected a prediction (B, C, ...) like x0 ", x0.sizes(), ", got ", predicted.sizes());
  const bool has_variance = predicted.size(1) == 2 * x0.size(1);
  const at::Tensor velocity = has_variance ? predicted.narrow(1, 0, x0.size(1)) : predicted;
  const at::Tensor target = flow_velocity(x0, noise);
  check_same_shape("[flow_loss]", velocity, target);
  return (velocity.to(at::kFloat) - target.to(at::kFloat)).square().mean();
}

std::vector<double> euler_times(const EulerOptions& options) {
  constexpr auto where = "[euler_sample] ";
  check<ConfigError>(options.steps >= 1, where, "steps must be at least 1, got ", options.steps);
  check<ConfigError>(options.start > 0 && options.start <= 1, where, "start must be in (0, 1], got ", options.start);
  check<ConfigError>(options.shift > 0 && std::isfinite(options.shift), where, "shift must be positive, got ",
                     options.shift);
  const auto n = static_cast<double>(options.steps);
  // The epsilon keeps a start such as 0.3 of 10 steps from counting one step too many.
  const auto run = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(options.start * n - 1e-9)), 1, options.steps);
  const auto shifted = [&](double t) { return options.shift * t / (1 + (options.shift - 1) * t); };
  std::vector<double> times;
  for (int64_t left = run; left > 0; --left)
    times.push_back(shifted(options.start * static_cast<double>(left) / static_cast<double>(run)));
  times.push_back(0);
  return times;
}

SampleResult euler_sample(const at::Tensor& x, const VelocityModel& model, const EulerOptions& options,
                          const OnStep& on_step) {
  return euler_integrate(x, model, euler_times(options), on_step);
}

std::vector<double> diffusers_flow_times(int64_t steps, double shift, int64_t num_train_timesteps) {
  check<ConfigError>(steps >= 1 && num_train_timesteps >= 1 && shift > 0 && std::isfinite(shift),
                     "[flow_times] steps, shift and num_train_timesteps must be positive, got ", steps, ", ", shift,
                     " and ", num_train_timesteps);
  const auto shifted = [&](double t) { return shift * t / (1 + (shift - 1) * t); };
  const double least = shifted(1 / static_cast<double>(num_train_timesteps));
  std::vector<double> times;
  for (int64_t i = 0; i < steps; ++i) {
    const double share = steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(steps - 1);
    times.push_back(shifted(1 + share * (least - 1)));
  }
  times.push_back(0);
  return times;
}

SampleResult euler_integrate(const at::Tensor& x, const VelocityModel& model, const std::vector<double>& times,
                             const OnStep& on_step) {
  const at::NoGradGuard no_grad;
  check<ConfigError>(times.size() >= 2 && std::is_sorted(times.rbegin(), times.rend()) && times.back() >= 0,
                     "[euler_sample] expected at least two descending times that are not negative, got ", times.size());
  const auto num_steps = static_cast<int64_t>(times.size()) - 1;
  SampleResult result{.x = x};
  for (int64_t step = 1; step <= num_steps; ++step) {
    const double t = times[step - 1], next_t = times[step];
    const at::Tensor velocity = model(result.x, t);
    check_same_shape("[euler_sample] the model's output:", velocity, result.x);
    const at::Tensor x0 = result.x - t * velocity;
    result.x = next_t == 0 ? x0 : result.x - (t - next_t) * velocity;
    result.steps_done = step;
    if (on_step && !on_step({.step = step, .num_steps = num_steps, .t = next_t, .x = result.x, .x0 = x0}) &&
        step < num_steps) {
      result.finished = false;
      return result;
    }
  }
  return result;
}

}  // namespace polyphony::latent
