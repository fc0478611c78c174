// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/dpm_solver.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::latent {
namespace {

constexpr double kRho = 7;

double sigma_of(double alpha_bar) { return std::sqrt((1 - alpha_bar) / alpha_bar); }

// Signal and noise scale of a sigma, and half the log signal-to-noise ratio.
struct Level {
  explicit Level(double value)
      : alpha(1 / std::sqrt(value * value + 1)), sigma(value * alpha), lambda(-std::log(value)) {}
  double alpha, sigma, lambda;
};

std::vector<int64_t> grid_timesteps(const NoiseSchedule& schedule, const DpmSolverOptions& options) {
  if (options.spacing == Spacing::trailing)
    return spaced_timesteps(schedule, {.steps = options.steps, .spacing = options.spacing});
  // One point more, whose last (lowest) is dropped.
  auto timesteps = spaced_timesteps(schedule, {.steps = options.steps + 1, .spacing = options.spacing});
  timesteps.pop_back();
  return timesteps;
}

// The timestep whose sigma this is, between two timesteps linear in log sigma.
int64_t timestep_of(const NoiseSchedule& schedule, double sigma) {
  const auto first_above = std::partition_point(schedule.alpha_bar.begin(), schedule.alpha_bar.end(),
                                                [&](double a) { return sigma_of(a) <= sigma; });
  const int64_t last = schedule.num_timesteps() - 2;
  const int64_t low = std::clamp<int64_t>(first_above - schedule.alpha_bar.begin() - 1, 0, std::max<int64_t>(last, 0));
  const double below = std::log(sigma_of(schedule.at(low)));
  const double above = std::log(sigma_of(schedule.at(std::min(low + 1, schedule.num_timesteps() - 1))));
  const double share = above == below ? 0 : std::clamp((std::log(sigma) - below) / (above - below), 0.0, 1.0);
  return static_cast<int64_t>(std::nearbyint(static_cast<double>(low) + share));
}

}  // namespace

DpmSolverGrid dpm_solver_grid(const NoiseSchedule& schedule, const DpmSolverOptions& options) {
  const int64_t T = schedule.num_timesteps();
  check<ConfigError>(options.steps >= 1 && options.steps < T, "[dpm_solver] steps must be in [1, ", T - 1, "], got ",
                     options.steps);
  DpmSolverGrid grid;
  if (options.karras) {
    const double high = std::pow(sigma_of(schedule.at(T - 1)), 1 / kRho),
                 low = std::pow(sigma_of(schedule.at(0)), 1 / kRho);
    for (int64_t i = 0; i < options.steps; ++i) {
      const double share = options.steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(options.steps - 1);
      grid.sigmas.push_back(std::pow(high + share * (low - high), kRho));
      grid.timesteps.push_back(timestep_of(schedule, grid.sigmas.back()));
    }
  } else {
    grid.timesteps = grid_timesteps(schedule, options);
    for (const int64_t t : grid.timesteps) grid.sigmas.push_back(sigma_of(schedule.at(t)));
  }
  grid.sigmas.push_back(0);
  return grid;
}

SampleResult dpm_solver_sample(const NoiseSchedule& schedule, const at::Tensor& x, const DiscreteModel& model,
                               const DpmSolverOptions& options, const OnStep& on_step) {
  const at::NoGradGuard no_grad;
  const DpmSolverGrid grid = dpm_solver_grid(schedule, options);
  const auto num_steps = static_cast<int64_t>(grid.timesteps.size());
  SampleResult result{.x = x};
  at::Tensor earlier_x0;
  for (int64_t i = 0; i < num_steps; ++i) {
    const Level from(grid.sigmas[static_cast<size_t>(i)]);
    const double next_sigma = grid.sigmas[static_cast<size_t>(i) + 1];
    const at::Tensor output = without_variance(model(result.x, grid.timesteps[static_cast<size_t>(i)]), result.x);
    const at::Tensor x0 = clean_and_noise(output, result.x, from.alpha * from.alpha, options.prediction).x0;
    if (next_sigma == 0) {
      result.x = x0;  // the limit of the first-order step: a higher order has no finite step size there
    } else {
      const Level to(next_sigma);
      const double h = to.lambda - from.lambda, weight = -to.alpha * std::expm1(-h);
      result.x = (to.sigma / from.sigma) * result.x + weight * x0;
      if (earlier_x0.defined()) {
        const double earlier_h = from.lambda - Level(grid.sigmas[static_cast<size_t>(i) - 1]).lambda;
        result.x = result.x + (0.5 * weight * h / earlier_h) * (x0 - earlier_x0);
      }
    }
    earlier_x0 = x0;
    result.steps_done = i + 1;
    const double reached = i + 1 < num_steps ? static_cast<double>(grid.timesteps[static_cast<size_t>(i) + 1]) : 0;
    const SampleStep step{.step = i + 1, .num_steps = num_steps, .t = reached, .x = result.x, .x0 = x0};
    if (on_step && !on_step(step) && i + 1 < num_steps) {
      result.finished = false;
      return result;
    }
  }
  return result;
}

}  // namespace polyphony::latent
