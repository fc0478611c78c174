// SPDX-License-Identifier: Apache-2.0
// A dense MLP or attention cut into experts that together are exactly the dense one, and put together again.
// Shapes: D width, F hidden, n experts, H heads of width C, P = H C / n.
// Source: Union-of-Experts (arXiv:2503.02495), tensor-parallel partition.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::moe {

// A bank as feed_forward's: w13 (n, 2 F / n, D), gate rows first, w2 (n, D, F / n).
struct MlpSlices {
  at::Tensor w13_E2FD, w2_EDF;
};

// Expert i gets the i-th run of hidden units; the sum of all experts with weight 1 is the dense MLP. Copies; merge_mlp
// gives back the same bits. Throws ConfigError unless n divides F.
MlpSlices split_mlp(const ops::SharedExpert& dense, int64_t n);
ops::SharedExpert merge_mlp(const MlpSlices& slices);

// Weights of attention_experts.h: q, k, v (n, P, D), out (n, D, P).
struct AttentionSlices {
  at::Tensor q_EPD, k_EPD, v_EPD, out_EDP;
};

// Weights as nn::Attention's without bias, as many key heads as query heads: qkv (3 H C, D), out (D, H C).
struct DenseAttention {
  at::Tensor qkv_QD, out_DP;
};

// Expert i gets the i-th run of H / n heads. Copies; merge_attention gives back the same bits. Throws ConfigError
// unless n divides num_heads.
AttentionSlices split_attention(const DenseAttention& dense, int64_t num_heads, int64_t n);
DenseAttention merge_attention(const AttentionSlices& slices);

}  // namespace polyphony::moe
