// SPDX-License-Identifier: Apache-2.0
// What every sampler shares: the report of a step, the result, and classifier-free guidance.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace polyphony::latent {

// What a step of a sampler reports. The tensors are the sampler's own: copy what is kept.
struct SampleStep {
  int64_t step;  // 1..num_steps: steps done
  int64_t num_steps;
  double t;  // the time that this step reached; 0 at the end
  const at::Tensor& x;
  const at::Tensor& x0;  // the clean sample that this step predicted: a preview
};
using OnStep = std::function<bool(const SampleStep&)>;  // false stops the sampling

struct SampleResult {
  at::Tensor x;
  int64_t steps_done = 0;
  bool finished = true;  // false: on_step stopped it before the last step
};

struct GuidanceOptions {
  double scale = 1;
  // Guide only the first this many channels, the others stay conditional; 0 guides all. The original DiT guides 3 of
  // its 4 noise channels when it samples with DDPM, diffusers guides all 4, and rectified flow guides all.
  int64_t channels = 0;
};

// unconditional + scale * (conditional - unconditional). Shapes: two (B, C, ...). Throws ShapeError.
// Source: Classifier-Free Diffusion Guidance (arXiv:2207.12598); the channel rule as in facebookresearch/DiT.
at::Tensor guide(const at::Tensor& conditional, const at::Tensor& unconditional, const GuidanceOptions& options);

}  // namespace polyphony::latent
