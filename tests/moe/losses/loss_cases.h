// SPDX-License-Identifier: Apache-2.0
// Routings made by hand, in f64 so that gradients can be checked.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "moe/routing.h"

namespace polyphony::moe {

inline at::Tensor doubles(std::vector<double> values, int64_t columns) {
  return at::tensor(values, at::kDouble).reshape({-1, columns});
}

// The rows of a choice of K experts a token; scores are the softmax of the logits.
inline Routing routing_of_logits(const at::Tensor& logits_TE, const std::vector<int64_t>& expert_N,
                                 int64_t num_null = 0) {
  const int64_t T = logits_TE.size(0), N = static_cast<int64_t>(expert_N.size());
  Routing r{.num_tokens = T, .num_experts = logits_TE.size(1) - num_null, .num_null = num_null};
  r.expert_N = at::tensor(expert_N, at::kLong);
  r.token_N = at::arange(T).repeat_interleave(N / std::max<int64_t>(T, 1));
  r.weight_N = at::ones({N}, logits_TE.options().requires_grad(false));
  r.logits_TE = logits_TE;
  r.score_TE = logits_TE.softmax(1);
  return r;
}

inline Routing no_tokens(int64_t num_experts) {
  Routing r{.num_tokens = 0, .num_experts = num_experts};
  r.token_N = r.expert_N = at::zeros({0}, at::kLong);
  r.weight_N = at::zeros({0});
  r.score_TE = r.logits_TE = r.noise_TE = r.noise_width_TE = r.predictor_TE = at::zeros({0, num_experts});
  r.own_loss = at::zeros({});
  return r;
}

}  // namespace polyphony::moe
