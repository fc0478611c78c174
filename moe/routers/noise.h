// SPDX-License-Identifier: Apache-2.0
// Random numbers of routers, and numbers that change with the training step.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// -log(-log(U)) of the shape and dtype of `like`, from the context's generator: the maximum of logits plus this noise
// is a draw from their softmax.
at::Tensor gumbel_noise(const at::Tensor& like, const RoutingContext& context);

// A number that goes from `start` to `end` in `steps` steps and stays there.
struct Schedule {
  double start = 0, end = 0;
  int64_t steps = 0;         // 0: `end` from the first step on
  bool exponential = false;  // evenly in the logarithm; both ends above 0
  double at_step(int64_t step) const;
};

// The optimiser step that schedules go by: in training the context's, which step_memory (an i64 buffer of one number,
// kept in checkpoints) remembers; otherwise the remembered one. So a model that is loaded or evaluated stands where its
// training stopped.
int64_t schedule_step(const RoutingContext& context, at::Tensor step_memory);

}  // namespace polyphony::moe
