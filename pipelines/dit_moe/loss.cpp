// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/loss.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "modalities/latent/diffusion_loss.h"
#include "modalities/latent/flow_matching.h"

namespace polyphony::pipelines {

DitMoeLoss rectified_flow_loss(DitMoe& model, const DitMoeBatch& batch, const DitMoeOptions& options) {
  const auto x_t = latent::flow_interpolate(batch.x0, batch.noise, batch.t_B);
  const auto out = model.forward({.x_BCHW = x_t, .t_B = batch.t_B, .y_B = batch.y_B}, options);
  return {.task = latent::flow_loss(out.out_BCHW, batch.x0, batch.noise), .balance = model.balance_loss(out.routings)};
}

DitMoeLoss ddpm_loss(DitMoe& model, const latent::NoiseSchedule& schedule, const DitMoeBatch& batch,
                     const DitMoeOptions& options) {
  check<ConfigError>(model.config().learn_sigma, "[dit_moe] DDPM training needs learn_sigma");
  const auto x_t = latent::add_noise(schedule, batch.x0, batch.noise, batch.t_B);
  const auto out = model.forward({.x_BCHW = x_t, .t_B = batch.t_B, .y_B = batch.y_B}, options);
  const auto loss = latent::diffusion_loss(schedule, out.out_BCHW, batch.x0, batch.noise, batch.t_B);
  return {.task = loss.total(), .balance = model.balance_loss(out.routings), .mse_B = loss.mse, .bound_B = loss.bound};
}

}  // namespace polyphony::pipelines
