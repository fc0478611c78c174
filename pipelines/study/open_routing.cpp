// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/open_routing.h"

#include <ATen/ATen.h>

namespace polyphony::pipelines {

moe::RoutingContext open_context(const at::Tensor& x_TD, int64_t num_experts, bool training, int64_t step) {
  return {.x_TD = x_TD,
          .modality_T = at::zeros({x_TD.size(0)}, at::kByte),
          .allowed_ME = at::ones({kNumModalities, num_experts}, at::kBool),
          .step = step,
          .training = training};
}

at::Tensor weight_table(const moe::Routing& routing) {
  return at::zeros({routing.num_tokens, routing.num_experts}, routing.weight_N.options().requires_grad(false))
      .index_put({routing.token_N, routing.expert_N}, routing.weight_N);
}

}  // namespace polyphony::pipelines
