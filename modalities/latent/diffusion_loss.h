// SPDX-License-Identifier: Apache-2.0
// The training loss of DDPM models with learned variance: squared error of the noise plus the variational bound.
// Source: Improved DDPM (arXiv:2102.09672), section 3.1; constants as in the original DiT.
#pragma once
#include <ATen/core/Tensor.h>

#include "modalities/latent/noise_schedule.h"

namespace polyphony::latent {

// Each (B), f32, means over a sample's elements.
struct DiffusionLoss {
  at::Tensor mse;
  at::Tensor bound;  // bits per element; its gradient reaches the variance half only
  at::Tensor total() const { return (mse + bound).mean(); }
};

// model_output (B, 2 C, ...) at add_noise(schedule, x0, noise, t); t i64 (B). Throws ShapeError.
// At t = 0 the bound is the likelihood of x0 under a Gaussian cut into bins of 2 / 255, as if latents were pixels in
// [-1, 1].
DiffusionLoss diffusion_loss(const NoiseSchedule& schedule, const at::Tensor& model_output, const at::Tensor& x0,
                             const at::Tensor& noise, const at::Tensor& t_B);

}  // namespace polyphony::latent
