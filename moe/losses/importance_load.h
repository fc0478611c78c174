// SPDX-License-Identifier: Apache-2.0
// The two losses of noisy top-k routing: squared coefficients of variation over experts, so 0 where all are alike.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// CV^2 = unbiased variance / (mean^2 + 1e-10) of importance_e = sum_t score_te; f32 scalar, 0 for one expert or no
// tokens. At most E: all score on one expert. Sources: sparsely-gated MoE (arXiv:1701.06538) (6)-(7); with dense
// probabilities as in V-MoE (arXiv:2106.05974). Throws ShapeError if the routing has no scores.
at::Tensor importance_loss(const Routing& routing);

// CV^2 of load_e = sum_t Phi((clean_te - threshold_t) / width_te), the chance that expert e is chosen when its noise is
// drawn anew: clean_te is logit_te without its noise, threshold_t the K-th largest logit of the token, K its rows on
// average. Logits stand on both sides; Tutel's code (arXiv:2206.03382) compares probabilities with logits. Source:
// V-MoE (arXiv:2106.05974). Throws ShapeError if the routing has no noise or no noise width.
at::Tensor load_loss(const Routing& routing);

}  // namespace polyphony::moe
