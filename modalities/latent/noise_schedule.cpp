// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/noise_schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/check.h"

namespace polyphony::latent {
namespace {

constexpr int64_t kMaxTimesteps = 100'000;

double round_half_even(double value) { return std::nearbyint(value); }  // the default rounding mode

std::vector<int64_t> section_counts(std::string_view respacing) {
  std::vector<int64_t> counts;
  for (size_t start = 0; start <= respacing.size();) {
    const size_t comma = std::min(respacing.find(',', start), respacing.size());
    const std::string_view item = respacing.substr(start, comma - start);
    int64_t count = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), count);
    check<ConfigError>(error == std::errc() && end == item.data() + item.size() && count >= 1,
                       "[respacing] expected counts such as 250, 10,15,20 or ddim50, got '", respacing, "'");
    counts.push_back(count);
    start = comma + 1;
  }
  return counts;
}

std::vector<int64_t> integer_strides(int64_t total, int64_t wanted) {
  for (int64_t stride = 1; stride < total; ++stride) {
    if ((total + stride - 1) / stride != wanted) continue;
    std::vector<int64_t> out;
    for (int64_t t = 0; t < total; t += stride) out.push_back(t);
    return out;
  }
  fail<ConfigError>("[respacing] no integer stride takes ", wanted, " of ", total, " timesteps");
}

}  // namespace

NoiseSchedule linear_schedule(int64_t num_timesteps, double first_beta, double last_beta) {
  check<ConfigError>(num_timesteps >= 1 && num_timesteps <= kMaxTimesteps,
                     "[noise_schedule] num_timesteps must be in [1, ", kMaxTimesteps, "], got ", num_timesteps);
  check<ConfigError>(first_beta > 0 && first_beta < 1 && last_beta > 0 && last_beta < 1,
                     "[noise_schedule] betas must be in (0, 1), got ", first_beta, " and ", last_beta);
  NoiseSchedule schedule;
  double product = 1;
  for (int64_t t = 0; t < num_timesteps; ++t) {
    const double share = num_timesteps == 1 ? 0 : static_cast<double>(t) / static_cast<double>(num_timesteps - 1);
    product *= 1 - (first_beta + share * (last_beta - first_beta));
    schedule.alpha_bar.push_back(product);
  }
  return schedule;
}

std::vector<int64_t> spaced_timesteps(const NoiseSchedule& schedule, const SpacingOptions& options) {
  const int64_t T = schedule.num_timesteps(), n = options.steps;
  check<ConfigError>(n >= 1 && n <= T, "[timesteps] steps must be in [1, ", T, "], got ", n);
  check<ConfigError>(options.offset >= 0 && options.offset <= T / n - 1 + (T - T / n * n),
                     "[timesteps] offset must leave every timestep below ", T, ", got ", options.offset);
  std::vector<int64_t> out;
  const double stride = static_cast<double>(T) / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    const auto from_end = static_cast<double>(n - 1 - i);
    switch (options.spacing) {
      case Spacing::leading:
        out.push_back((n - 1 - i) * (T / n) + options.offset);
        break;
      case Spacing::linspace:
        out.push_back(static_cast<int64_t>(
            round_half_even(n == 1 ? 0 : from_end * static_cast<double>(T - 1) / static_cast<double>(n - 1))));
        break;
      case Spacing::trailing:
        out.push_back(static_cast<int64_t>(round_half_even(static_cast<double>(T) - static_cast<double>(i) * stride)) -
                      1);
        break;
    }
  }
  return out;
}

std::vector<int64_t> respaced_timesteps(const NoiseSchedule& schedule, std::string_view respacing) {
  const int64_t T = schedule.num_timesteps();
  constexpr std::string_view kDdim = "ddim";
  if (respacing.starts_with(kDdim)) return integer_strides(T, section_counts(respacing.substr(kDdim.size())).front());
  const auto counts = section_counts(respacing);
  const auto sections = static_cast<int64_t>(counts.size());
  std::set<int64_t> kept;
  int64_t start = 0;
  for (int64_t i = 0; i < sections; ++i) {
    const int64_t length = T / sections + (i < T % sections ? 1 : 0), count = counts[static_cast<size_t>(i)];
    check<ConfigError>(count <= length, "[respacing] cannot take ", count, " of ", length, " timesteps");
    const double stride = count == 1 ? 1 : static_cast<double>(length - 1) / static_cast<double>(count - 1);
    double position = 0;  // a running sum, as the original has it: its rounding errors decide ties
    for (int64_t k = 0; k < count; ++k, position += stride)
      kept.insert(start + static_cast<int64_t>(round_half_even(position)));
    start += length;
  }
  return {kept.begin(), kept.end()};
}

CleanAndNoise clean_and_noise(const at::Tensor& output, const at::Tensor& x_t, double alpha_bar,
                              Prediction prediction) {
  const double signal = std::sqrt(alpha_bar), noise = std::sqrt(1 - alpha_bar);
  switch (prediction) {
    case Prediction::epsilon:
      return {(x_t - noise * output) / signal, output};
    case Prediction::sample:
      return {output, (x_t - signal * output) / noise};
    case Prediction::velocity:
      return {signal * x_t - noise * output, signal * output + noise * x_t};
  }
  fail<ConfigError>("[prediction] expected epsilon, sample or velocity, got ", static_cast<int>(prediction));
}

at::Tensor add_noise(const NoiseSchedule& schedule, const at::Tensor& x0, const at::Tensor& noise,
                     const at::Tensor& t_B) {
  check<ShapeError>(x0.dim() >= 1 && x0.sizes() == noise.sizes() && t_B.dim() == 1 && t_B.size(0) == x0.size(0) &&
                        t_B.scalar_type() == at::kLong,
                    "[add_noise] expected x0 and noise of one shape (B, ...) and i64 timesteps (B), got ", x0.sizes(),
                    ", ", noise.sizes(), " and ", t_B.sizes());
  check<ShapeError>(
      t_B.numel() == 0 || (t_B.min().item<int64_t>() >= 0 && t_B.max().item<int64_t>() < schedule.num_timesteps()),
      "[add_noise] timesteps must be in [0, ", schedule.num_timesteps(), ")");
  std::vector<int64_t> shape(static_cast<size_t>(x0.dim()), 1);
  shape[0] = x0.size(0);
  const at::Tensor alpha_bar =
      at::tensor(schedule.alpha_bar, at::kDouble).index_select(0, t_B.to(at::kCPU)).view(shape);
  return alpha_bar.sqrt().to(x0.options()) * x0 + (1 - alpha_bar).sqrt().to(x0.options()) * noise;
}

at::Tensor without_variance(const at::Tensor& output, const at::Tensor& x) {
  check<ShapeError>(
      output.dim() == x.dim() && x.dim() >= 2 && (output.size(1) == x.size(1) || output.size(1) == 2 * x.size(1)),
      "[sampler] expected a model output like x ", x.sizes(), ", or with twice its channels, got ", output.sizes());
  return output.narrow(1, 0, x.size(1));
}

}  // namespace polyphony::latent
