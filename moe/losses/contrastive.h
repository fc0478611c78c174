// SPDX-License-Identifier: Apache-2.0
// Contrastive losses of gates: what belongs together is close, the rest of the batch is far. Cosine similarities.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::moe {

// Mean over samples of -log(exp(s_bb / t) / sum_j exp(s_bj / t)), s_bj the cosine of gate b and of other gate j, the
// same sample's gates from a masked history. f32 scalar: 0 for one sample, log B where all gates are alike. gate_BE,
// other_BE: (B, E). Source: AW-MoE (arXiv:2306.05011), InfoNCE with the batch as negatives. Throws
// ShapeError.
at::Tensor gate_contrastive_loss(const at::Tensor& gate_BE, const at::Tensor& other_BE, double temperature = 0.1);

// Mean over the experts that have tokens of -log(exp(s_ee / t) / sum_j exp(s_ej / t)), s_ej the cosine of prototype e
// and of the mean of expert j's tokens, j over the experts that have tokens. f32 scalar, 0 if fewer than two do.
// prototype_ED: (E, D), x_TD: (T, D) what the prototypes are compared with, expert_T: i64, first choice of each token
// (below 0: none). Source: ProMoE (arXiv:2510.24711), temperature 0.07. Throws ShapeError.
at::Tensor prototype_contrastive_loss(const at::Tensor& prototype_ED, const at::Tensor& x_TD,
                                      const at::Tensor& expert_T, double temperature = 0.07);

}  // namespace polyphony::moe
