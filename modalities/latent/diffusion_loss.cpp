// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/diffusion_loss.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "core/check.h"
#include "modalities/latent/ddpm.h"

namespace polyphony::latent {
namespace {

constexpr double kLeastProbability = 1e-12;
constexpr double kHalfBin = 1.0 / 255;
constexpr double kEdge = 0.999;

at::Tensor sample_mean(const at::Tensor& x) { return x.flatten(1).mean(1); }

// The tanh form of the normal distribution function: the original has it, and erf gives other figures.
at::Tensor normal_cdf(const at::Tensor& x) {
  return 0.5 * (1 + (std::sqrt(2 * std::numbers::inv_pi) * (x + 0.044715 * x.pow(3))).tanh());
}

at::Tensor log_likelihood(const at::Tensor& x, const at::Tensor& mean, const at::Tensor& log_deviation) {
  const at::Tensor centred = x - mean, inverse = (-log_deviation).exp();
  const at::Tensor below_upper = normal_cdf(inverse * (centred + kHalfBin));
  const at::Tensor below_lower = normal_cdf(inverse * (centred - kHalfBin));
  const auto log_of = [](const at::Tensor& probability) { return probability.clamp_min(kLeastProbability).log(); };
  return at::where(x < -kEdge, log_of(below_upper),
                   at::where(x > kEdge, log_of(1 - below_lower), log_of(below_upper - below_lower)));
}

at::Tensor gaussian_kl(const at::Tensor& mean1, const at::Tensor& log_variance1, const at::Tensor& mean2,
                       const at::Tensor& log_variance2) {
  return 0.5 * (-1 + log_variance2 - log_variance1 + (log_variance1 - log_variance2).exp() +
                (mean1 - mean2).square() * (-log_variance2).exp());
}

// The bound of one sample, in bits per element.
at::Tensor sample_bound(const NoiseSchedule& schedule, int64_t t, const at::Tensor& output, const at::Tensor& x0,
                        const at::Tensor& x_t) {
  const Transition step{.t = t, .to = t - 1};
  DdpmOptions options;
  // The true variance of the last step is 0: the original takes that of the step before it.
  if (t == 0 && schedule.num_timesteps() > 1)
    options.last_log_variance = ddpm_posterior(schedule, {.t = 1, .to = 0}, x0, x0, {.variance = Variance::fixed_small})
                                    .log_variance.flatten()[0]
                                    .item<double>();
  const Posterior predicted = ddpm_posterior(schedule, step, output, x_t, options);
  if (t == 0) return -sample_mean(log_likelihood(x0, predicted.mean, 0.5 * predicted.log_variance)) / std::numbers::ln2;
  const Posterior truth =
      ddpm_posterior(schedule, step, x0, x_t, {.prediction = Prediction::sample, .variance = Variance::fixed_small});
  return sample_mean(gaussian_kl(truth.mean, truth.log_variance, predicted.mean, predicted.log_variance)) /
         std::numbers::ln2;
}

}  // namespace

DiffusionLoss diffusion_loss(const NoiseSchedule& schedule, const at::Tensor& model_output, const at::Tensor& x0_any,
                             const at::Tensor& noise_any, const at::Tensor& t_B) {
  const at::Tensor output = model_output.to(at::kFloat), x0 = x0_any.to(at::kFloat), noise = noise_any.to(at::kFloat);
  const int64_t C = x0.dim() >= 2 ? x0.size(1) : 0;
  check<ShapeError>(output.dim() == x0.dim() && C > 0 && output.size(0) == x0.size(0) && output.size(1) == 2 * C,
                    "[diffusion_loss] expected a model output with twice the channels of x0 ", x0.sizes(), ", got ",
                    output.sizes());
  const at::Tensor x_t = add_noise(schedule, x0, noise, t_B);
  const at::Tensor epsilon = output.narrow(1, 0, C);
  // The bound trains the variance only: the mean comes from the squared error.
  const at::Tensor frozen = at::cat({epsilon.detach(), output.narrow(1, C, C)}, 1);
  const at::Tensor t_cpu = t_B.to(at::kCPU);
  std::vector<at::Tensor> bounds;
  for (int64_t b = 0; b < x0.size(0); ++b)
    bounds.push_back(sample_bound(schedule, t_cpu[b].item<int64_t>(), frozen.narrow(0, b, 1), x0.narrow(0, b, 1),
                                  x_t.narrow(0, b, 1)));
  return {.mse = sample_mean((epsilon - noise).square()), .bound = at::cat(bounds)};
}

}  // namespace polyphony::latent
