// SPDX-License-Identifier: Apache-2.0
// Classes and seeds to latents, by the sampler of either training mode.
// Shapes: N pictures, C latent channels, H = W = input_size.
#pragma once
#include <optional>
#include <string>

#include "modalities/latent/sampling.h"
#include "pipelines/dit_moe/guidance.h"

namespace polyphony::pipelines {

// euler for rectified flow; ddpm, ddim and dpm++ for DDPM.
enum class DitMoeSampler : uint8_t { euler, ddpm, ddim, dpm_solver };

// "euler", "ddpm", "ddim", "dpm++". Throws ConfigError with these names.
DitMoeSampler dit_moe_sampler(const std::string& name);
const char* sampler_name(DitMoeSampler sampler);

// The sampler for a model trained in `mode`: the one that `name` asks for, or for an empty name the published one
// (euler, ddpm). A model that names no mode takes any, euler by default. Throws UsageError for one of the other mode.
DitMoeSampler choose_sampler(std::optional<DitMoeMode> mode, const std::string& name);

// Steps that the sampler is known to need: euler 50 and ddpm 250 as published, ddim 50, dpm++ 25.
int64_t default_steps(DitMoeSampler sampler);

struct DitMoeSampling {
  DitMoeSampler sampler = DitMoeSampler::euler;
  int64_t steps = 50;
  DitMoeGuidance guidance = {};  // holds the classes y_N
  uint64_t seed = 0;             // of the first picture; picture i has seed + i, whatever it is drawn with
};

// Noise (N, C, H, W) f32 of the seeds alone, where sampling starts.
at::Tensor starting_noise(const DitMoeConfig& config, const DitMoeSampling& sampling);

// Latents (N, C, H, W), scaled as the autoencoder's. Steps become timesteps as in the published code: euler 1 -
// i/steps; ddpm the respacing "steps"; ddim the smallest integer stride that gives exactly so many (some numbers have
// none); dpm++ linspace without its last point. A guided ddpm step draws noise for both halves of a picture's batch and
// uses the first, as published. Throws ConfigError for steps that cannot be.
latent::SampleResult sample_dit_moe(const std::shared_ptr<DitMoe>& model, const DitMoeSampling& sampling,
                                    const latent::OnStep& on_step = {});

}  // namespace polyphony::pipelines
