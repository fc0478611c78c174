// SPDX-License-Identifier: Apache-2.0
// Balance losses: free functions of a routing. All are 1 (per group) for perfectly even choices and probabilities,
// f32 scalars with gradients into the scores, and 0, never NaN, for a group or a sample without tokens.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/losses/expert_load.h"
#include "moe/routing.h"

namespace polyphony::moe {

// What a choice counts against.
enum class LoadUnit : uint8_t {
  row,    // f_e = share of the group's rows that went to e: f sums to 1 whatever K is
  token,  // f_e = share of the group's tokens that chose e: f sums to the mean number of experts per token
};

struct LoadBalanceOptions {
  BalanceScope scope = {};
  LoadUnit unit = LoadUnit::row;
};

// E sum_e f_e P_e. With one row per token: Switch (arXiv:2101.03961) (4); with K: DeepSeekMoE (arXiv:2401.06066) (12);
// unit token: dynamic routing (arXiv:2403.07652). With null experts E counts them and each null's f is the mean over
// the nulls, so that nothing pushes them to be even among themselves: AdaMoE (arXiv:2406.13233).
at::Tensor load_balance_loss(const Routing& routing, const LoadBalanceOptions& options = {});

// The mean over samples of the same, with f and P of one sample each: DeepSeek-V3 (arXiv:2412.19437) (17).
// sample_T: i64, sample of each token.
at::Tensor sequence_balance_loss(const Routing& routing, const at::Tensor& sample_T,
                                 const LoadBalanceOptions& options = {});

// sum_d f'_d P'_d over devices, f'_d the mean f and P'_d the sum of P of a device's experts: DeepSeekMoE (15).
// device_E: i64 in [0, D), device of each expert. Null experts are left out.
at::Tensor device_balance_loss(const Routing& routing, const at::Tensor& device_E);

}  // namespace polyphony::moe
