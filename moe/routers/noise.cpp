// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/noise.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyphony::moe {

at::Tensor gumbel_noise(const at::Tensor& like, const RoutingContext& context) {
  const auto uniform = at::empty_like(like.detach()).uniform_(0, 1, context.generator);
  // Above 0, so that neither logarithm is infinite.
  return -(-uniform.clamp_min(std::numeric_limits<float>::min()).log()).clamp_min(1e-20).log();
}

double Schedule::at_step(int64_t step) const {
  if (step >= steps) return end;
  const double share = static_cast<double>(std::max<int64_t>(step, 0)) / static_cast<double>(steps);
  return exponential ? start * std::pow(end / start, share) : start + (end - start) * share;
}

int64_t schedule_step(const RoutingContext& context, at::Tensor step_memory) {
  if (!context.training) return step_memory.item<int64_t>();
  const at::NoGradGuard no_grad;
  step_memory.fill_(context.step);
  return context.step;
}

}  // namespace polyphony::moe
