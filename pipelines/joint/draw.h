// SPDX-License-Identifier: Apache-2.0
// Text to latents: flow matching with classifier-free guidance on the joint model.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "pipelines/joint/model.h"

namespace polyphony::pipelines {

// Sees what each forward pass gave: its routings above all.
using OnForward = std::function<void(const JointOutput& out)>;

struct DrawOptions {
  int64_t steps = 12;                // Euler steps from pure noise to the picture
  double guidance = 2.0;             // 1 = none: then the unconditional pass is not run
  std::vector<uint64_t> seeds = {};  // one a prompt; each picture's noise is its own
  OnForward on_forward = {};
};

// After each step: steps done and the predicted clean latents so far. Return false to stop.
using OnDrawStep = std::function<bool(int64_t done, const at::Tensor& clean_BCHW)>;

// Token ids of each prompt -> clean scaled latents (B, C, H, W) f32; nothing if on_step stopped it.
std::optional<at::Tensor> draw_latents(JointModel& model, const std::vector<std::vector<int64_t>>& prompts,
                                       const DrawOptions& options, const OnDrawStep& on_step = {});

// Pixels (N, 3, S, S) in [-1, 1] -> ids of greedy captions without the end mark; nothing if on_token stopped it (words
// done, most possible).
std::optional<std::vector<std::vector<int64_t>>> caption_pictures(
    JointModel& model, const at::Tensor& pixels_NCHW, int64_t max_tokens,
    const std::function<bool(int64_t, int64_t)>& on_token = {});

}  // namespace polyphony::pipelines
