// SPDX-License-Identifier: Apache-2.0
// Attention whose heads are experts: each routed row is a query of one expert, weighted like any other expert's output.
// Shapes: T packed tokens, D width, E experts of H heads of width C, R routed rows.
#pragma once
#include <torch/nn/module.h>

#include "core/nn/attention_layout.h"
#include "core/nn/rope.h"
#include "moe/routing.h"

namespace polyphony::moe {

struct AttentionExpertsOptions {
  int64_t dim = 0;
  int64_t num_experts = 0;
  int64_t num_heads = 1;       // H, of each expert
  int64_t head_dim = 0;        // C; 0: dim / num_heads
  bool shared_keys = false;    // one set of key and value weights for all experts; else each has its own
  bool selected_keys = false;  // an expert's queries see only tokens that are routed to it; else all that they may see
  bool rotary = true;
};

// Parameters: q (E, H C, D), k and v (E or 1, H C, D), out (E, D, H C).
// Sources: with a soft routing to all experts BAM's expert-KV and shared-KV attention (arXiv:2408.08274);
// with top-k and shared keys mixture of attention heads (arXiv:2210.05144); with selected keys the selective attention
// of Union-of-Experts (arXiv:2503.02495). Positions and masks are those of the whole sequence, so a routing that is
// causal leaves the attention causal.
class AttentionExperts : public torch::nn::Module {
 public:
  explicit AttentionExperts(const AttentionExpertsOptions& options);  // throws ConfigError

  // y_t = sum over the rows n of t of weight_N[n] * out_e attention_e(q_e x_t); (T, D), 0 for tokens without rows.
  // Gradients once. Throws ShapeError.
  at::Tensor forward(const at::Tensor& x_TD, const nn::AttentionLayout& layout, const nn::RopeTable& rope,
                     const Routing& routing);

 private:
  AttentionExpertsOptions options_;
  at::Tensor q_EPD_, k_EPD_, v_EPD_, out_EDP_;  // P = H C
};

}  // namespace polyphony::moe
