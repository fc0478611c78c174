// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/router_similarity.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::moe {
namespace {

// The entries that `keep` marks, scaled to mean 1; left alone where all are 0.
at::Tensor to_mean_one(const at::Tensor& value_EE, const at::Tensor& keep_EE) {
  const auto kept_EE = value_EE * keep_EE;
  const auto sum = kept_EE.sum();
  return kept_EE * keep_EE.sum() / at::where(sum > 0, sum, at::ones_like(sum));
}

}  // namespace

at::Tensor router_similarity_loss(const Routing& routing) {
  check<ShapeError>(routing.logits_TE.defined(), "[losses] router similarity needs a router with logits");
  const auto probability_TE = routing.logits_TE.softmax(1);
  auto chosen_TE = at::zeros(probability_TE.sizes(), probability_TE.options());
  chosen_TE.index_put_({routing.token_N, routing.expert_N}, at::ones({}, chosen_TE.options()));
  const auto together_EE = at::mm(chosen_TE.t(), chosen_TE);
  const auto self_EE = at::eye(together_EE.size(0), together_EE.options());
  const auto weight_EE = to_mean_one(together_EE, self_EE) + to_mean_one(together_EE, 1 - self_EE);
  const auto similar_EE = at::mm(probability_TE.t(), probability_TE);
  return (weight_EE * similar_EE).sum() / static_cast<double>(std::max<int64_t>(routing.num_tokens, 1));
}

}  // namespace polyphony::moe
