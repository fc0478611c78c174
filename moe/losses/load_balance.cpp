// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/load_balance.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {
namespace {

// f (S, E + Z): shares of rows or of tokens, the null columns averaged.
at::Tensor frequency_of(const ExpertLoad& load, int64_t num_null, LoadUnit unit) {
  const auto total_S1 = unit == LoadUnit::row ? load.count_SE.sum(1, true) : load.tokens_S.unsqueeze(1);
  const auto frequency_SE = load.count_SE / total_S1.clamp_min(1);
  if (num_null == 0) return frequency_SE;
  const int64_t E = frequency_SE.size(1) - num_null;
  const auto null_mean_S1 = frequency_SE.narrow(1, E, num_null).mean(1, /*keepdim=*/true);
  return at::cat({frequency_SE.narrow(1, 0, E), null_mean_S1.expand({-1, num_null})}, 1);
}

// E sum_e f P of one part, averaged over the segments that hold tokens of it.
at::Tensor balance_of(const ExpertLoad& load, int64_t num_null, LoadUnit unit) {
  const auto frequency_SE = frequency_of(load, num_null, unit);
  const auto loss_S = static_cast<double>(frequency_SE.size(1)) * (frequency_SE * load.probability_SE).sum(1);
  return loss_S.sum() / (load.tokens_S > 0).sum().clamp_min(1);
}

}  // namespace

at::Tensor load_balance_loss(const Routing& routing, const LoadBalanceOptions& options) {
  auto loss = at::zeros({}, routing.weight_N.options());
  for (const auto& part : parts_of(routing, options.scope))
    loss = loss + balance_of(expert_load(routing, part), routing.num_null, options.unit);
  return loss;
}

at::Tensor sequence_balance_loss(const Routing& routing, const at::Tensor& sample_T,
                                 const LoadBalanceOptions& options) {
  check<ShapeError>(sample_T.defined() && sample_T.dim() == 1 && sample_T.size(0) == routing.num_tokens,
                    "[losses] sample must be i64 (", routing.num_tokens, ")");
  const int64_t B = sample_T.numel() == 0 ? 1 : sample_T.max().item<int64_t>() + 1;
  auto loss = at::zeros({}, routing.weight_N.options());
  for (const auto& part : parts_of(routing, options.scope))
    loss = loss + balance_of(expert_load(routing, part, sample_T, B), routing.num_null, options.unit);
  return loss;
}

at::Tensor device_balance_loss(const Routing& routing, const at::Tensor& device_E) {
  const int64_t E = routing.num_experts;
  check<ShapeError>(
      device_E.defined() && device_E.dim() == 1 && device_E.size(0) == E && device_E.scalar_type() == at::kLong,
      "[losses] device must be i64 (", E, ")");
  const auto load = expert_load(routing, {.num_experts = E});
  const auto count_E = load.count_SE.select(0, 0).narrow(0, 0, E);
  const auto frequency_E = count_E * E / count_E.sum().clamp_min(1);
  const auto device = device_E.to(count_E.device());
  const auto zeros_D = at::zeros({device.max().item<int64_t>() + 1}, count_E.options());
  const auto experts_D = zeros_D.index_add(0, device, at::ones_like(count_E));
  const auto frequency_D = zeros_D.index_add(0, device, frequency_E) / experts_D.clamp_min(1);
  const auto probability_D = zeros_D.index_add(0, device, load.probability_SE.select(0, 0).narrow(0, 0, E));
  return (frequency_D * probability_D).sum();
}

}  // namespace polyphony::moe
