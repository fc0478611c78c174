// SPDX-License-Identifier: Apache-2.0
#include "moe/choice_bias.h"

#include <ATen/ATen.h>

#include <numeric>

#include "core/check.h"
#include "moe/moe_layer.h"

namespace polyphony::moe {

void update_choice_bias(const at::Tensor& bias_E, const at::Tensor& load_E, const ChoiceBiasOptions& options) {
  check<ShapeError>(bias_E.defined() && load_E.defined() && bias_E.dim() == 1 && bias_E.sizes() == load_E.sizes(),
                    "[choice_bias] bias and load must both be (E)");
  const auto sizes = options.group_sizes.empty() ? std::vector<int64_t>{bias_E.size(0)} : options.group_sizes;
  check<ShapeError>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == bias_E.size(0),
                    "[choice_bias] group sizes must add up to ", bias_E.size(0), " experts");
  const at::NoGradGuard no_grad;
  int64_t first = 0;
  for (const int64_t size : sizes) {
    const auto load = load_E.narrow(0, first, size).to(at::kFloat);
    bias_E.narrow(0, first, size).add_(at::sign(load.mean() - load), options.rate);
    first += size;
  }
}

void follow_load(MoELayer& layer, const Routing& routing) {
  const auto bias_E = layer.router()->choice_bias();
  if (!bias_E.defined()) return;
  ChoiceBiasOptions options{.rate = layer.config().router.choice_bias_rate};
  for (const auto& group : layer.config().groups) options.group_sizes.push_back(group.num_experts);
  update_choice_bias(bias_E, at::bincount(routing.expert_N, {}, routing.num_experts), options);
}

}  // namespace polyphony::moe
