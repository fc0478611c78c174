// SPDX-License-Identifier: Apache-2.0
// A DiT-MoE as what samplers ask for, with the guidance rule of its training mode.
// Shapes: N samples; x (N, C, H, W), y i64 (N).
#pragma once
#include "modalities/latent/flow_matching.h"
#include "modalities/latent/noise_schedule.h"
#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

struct DitMoeGuidance {
  at::Tensor y_N = {};        // classes
  double scale = 1;           // 1: no guidance, and one pass
  bool batched = true;        // conditional and unconditional halves in one pass of 2N; otherwise two passes of N
  bool side_by_side = false;  // two passes at once, on a thread each: the same bits as one after the other
  // The times that will be asked for, in this order, where they are known: a packed model then computes what depends on
  // them and the classes alone for many of them at once.
  std::vector<double> times = {};
  // What each pass of the conditional half chose; rows of one layer are N * S tokens.
  std::function<void(double t, const std::vector<moe::Routing>& routings)> on_routing = {};
};

// Rectified flow: every channel is guided, t in [0, 1] goes to the model as it is. The variance half is left out.
// Source: the published rectified_flow.py; its sampler is euler_sample with shift 1.
latent::VelocityModel guided_velocity(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance);

// DDPM: only the first three channels are guided, as the published code has it; the others, with the variances, are
// those of the conditional pass. Source: forward_with_cfg of arXiv:2212.09748's code, which DiT-MoE keeps.
latent::DiscreteModel guided_epsilon(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance);

}  // namespace polyphony::pipelines
