// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/text.h"
#include "core/check.h"
#include "core/rng.h"
#include "modalities/latent/ddim.h"
#include "modalities/latent/ddpm.h"
#include "modalities/latent/dpm_solver.h"

namespace polyphony::pipelines {
namespace {

struct SamplerRow {
  const char* name;
  DitMoeSampler sampler;
  DitMoeMode mode;
  int64_t steps;
};
// The first one of a mode is its published one. In the order of the enumeration.
constexpr std::array<SamplerRow, 4> kSamplers = {{
    {"euler", DitMoeSampler::euler, DitMoeMode::rectified_flow, 50},
    {"ddpm", DitMoeSampler::ddpm, DitMoeMode::ddpm, 250},
    {"ddim", DitMoeSampler::ddim, DitMoeMode::ddpm, 50},
    {"dpm++", DitMoeSampler::dpm_solver, DitMoeMode::ddpm, 25},
}};

const SamplerRow& row_of(DitMoeSampler sampler) { return kSamplers[static_cast<size_t>(sampler)]; }

// One stream of normals a picture, so that a picture does not depend on what it is drawn together with.
class PictureNoise {
 public:
  PictureNoise(const DitMoeConfig& config, const DitMoeSampling& sampling)
      : shape_{1, config.in_channels, config.input_size, config.input_size} {
    for (int64_t i = 0; i < sampling.guidance.y_N.size(0); ++i)
      generators_.push_back(make_generator(sampling.seed + static_cast<uint64_t>(i)));
  }

  // (N, C, H, W): the first of `rows` draws a picture.
  at::Tensor draw(int64_t rows) {
    auto shape = shape_;
    shape[0] = rows;
    std::vector<at::Tensor> drawn;
    for (auto& generator : generators_) drawn.push_back(at::randn(shape, generator).narrow(0, 0, 1));
    return at::cat(drawn);
  }

 private:
  std::vector<int64_t> shape_;
  std::vector<at::Generator> generators_;
};

}  // namespace

DitMoeSampler dit_moe_sampler(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& row : kSamplers) {
    if (name == row.name) return row.sampler;
    names.emplace_back(row.name);
  }
  fail<ConfigError>("[sampler] expected ", join_names(names), "; got '", printable(name, 40), "'",
                    did_you_mean(name, names));
}

const char* sampler_name(DitMoeSampler sampler) { return row_of(sampler).name; }

int64_t default_steps(DitMoeSampler sampler) { return row_of(sampler).steps; }

DitMoeSampler choose_sampler(std::optional<DitMoeMode> mode, const std::string& name) {
  std::vector<std::string> fitting;
  for (const auto& row : kSamplers)
    if (!mode || row.mode == *mode) fitting.emplace_back(row.name);
  if (name.empty()) return dit_moe_sampler(fitting.front());
  const auto sampler = dit_moe_sampler(name);
  check<UsageError>(!mode || row_of(sampler).mode == *mode, "[sampler] this model was trained ",
                    mode == DitMoeMode::ddpm ? "with DDPM" : "as a rectified flow", ": expected ", join_names(fitting),
                    "; got '", name, "'");
  return sampler;
}

at::Tensor starting_noise(const DitMoeConfig& config, const DitMoeSampling& sampling) {
  return PictureNoise(config, sampling).draw(1);
}

latent::SampleResult sample_dit_moe(const std::shared_ptr<DitMoe>& model, const DitMoeSampling& s,
                                    const latent::OnStep& on_step) {
  check<ShapeError>(s.guidance.y_N.defined() && s.guidance.y_N.dim() == 1 && s.guidance.y_N.size(0) >= 1,
                    "[sampler] expected at least one class, i64 (N)");
  const auto schedule = latent::linear_schedule();
  check<ConfigError>(s.steps >= 1 && (s.sampler == DitMoeSampler::euler || s.steps <= schedule.num_timesteps()),
                     "[sampler] steps must be in [1, ", schedule.num_timesteps(), "], got ", s.steps);
  PictureNoise noise(model->config(), s);
  const auto start = noise.draw(1).to(s.guidance.y_N.device());
  const auto guided_at = [&](const auto& times) {
    auto guidance = s.guidance;
    guidance.times.assign(times.begin(), times.end());
    std::sort(guidance.times.rbegin(), guidance.times.rend());
    return guidance;
  };
  switch (s.sampler) {
    case DitMoeSampler::euler: {
      const latent::EulerOptions options{.steps = s.steps};
      const auto model_at = guided_velocity(model, guided_at(latent::euler_times(options)));
      return latent::euler_sample(start, model_at, options, on_step);
    }
    case DitMoeSampler::ddpm: {
      const int64_t rows = s.guidance.scale == 1 ? 1 : 2;
      const auto variance =
          model->config().learn_sigma ? latent::Variance::learned_range : latent::Variance::fixed_small;
      const auto respacing = std::to_string(s.steps);
      const auto model_at = guided_epsilon(model, guided_at(latent::respaced_timesteps(schedule, respacing)));
      return latent::ddpm_sample(
          schedule, start, model_at,
          {.respacing = respacing, .step = {.variance = variance}, .noise = [&](int64_t) { return noise.draw(rows); }},
          on_step);
    }
    case DitMoeSampler::ddim: {
      const auto timesteps = latent::respaced_timesteps(schedule, join("ddim", s.steps));
      return latent::ddim_sample(schedule, start, guided_epsilon(model, guided_at(timesteps)),
                                 {.transitions = latent::ancestral_transitions(timesteps)}, on_step);
    }
    case DitMoeSampler::dpm_solver:
      return latent::dpm_solver_sample(schedule, start, guided_epsilon(model, s.guidance), {.steps = s.steps}, on_step);
  }
  fail<ConfigError>("[sampler] expected a known sampler, got ", static_cast<int>(s.sampler));
}

}  // namespace polyphony::pipelines
