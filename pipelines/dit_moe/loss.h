// SPDX-License-Identifier: Apache-2.0
// The two training losses of DiT-MoE, with the balance loss as an explicit summand.
// Shapes: B samples; x0 and noise (B, C, H, W), y i64 (B).
#pragma once
#include "modalities/latent/noise_schedule.h"
#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

struct DitMoeLoss {
  at::Tensor task = {};     // 0-d f32: mean over the batch
  at::Tensor balance = {};  // 0-d f32: aux_loss_alpha times the sum over layers
  at::Tensor mse_B = {};    // DDPM only, a sample: error of the noise,
  at::Tensor bound_B = {};  // and the variational bound in bits
  at::Tensor total() const { return task + balance; }
};

struct DitMoeBatch {
  at::Tensor x0 = {};     // scaled latents
  at::Tensor noise = {};  // standard normal
  at::Tensor t_B = {};    // rectified flow: f32 in [0, 1]; DDPM: i64 in [0, 1000)
  at::Tensor y_B = {};
};

// Rectified flow: mean squared error of the velocity noise - x0 at (1 - t) x0 + t noise.
DitMoeLoss rectified_flow_loss(DitMoe& model, const DitMoeBatch& batch, const DitMoeOptions& options = {});

// DDPM: squared error of the noise plus the variational bound. Throws ConfigError for a model without learn_sigma.
DitMoeLoss ddpm_loss(DitMoe& model, const latent::NoiseSchedule& schedule, const DitMoeBatch& batch,
                     const DitMoeOptions& options = {});

}  // namespace polyphony::pipelines
