// SPDX-License-Identifier: Apache-2.0
// The steps that routers share: gate logits in f32, scores, a deterministic choice, and flat rows.
// Shapes: T tokens, D width, E experts (null experts included where a router has them), K chosen per token.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "core/ops/top_indices/top_indices.h"
#include "moe/router.h"

namespace polyphony::moe {

// f32 (rows, columns) drawn from U(-1/sqrt(columns), 1/sqrt(columns)): kaiming-uniform with a = sqrt(5).
at::Tensor gate_weight(int64_t rows, int64_t columns);

// x_TD weight_ED^T in f32 whatever the inputs are, also under autocast: bf16 logits tie and change the choice.
at::Tensor gate_logits(const at::Tensor& x_TD, const at::Tensor& weight_ED);

// The same with the gate that belongs to each token's modality. weight_MED: f32 (M, E, D).
at::Tensor gate_logits_by_modality(const at::Tensor& x_TD, const at::Tensor& modality_T, const at::Tensor& weight_MED);

// x times U(1 - jitter, 1 + jitter) while training; only the gate sees it. Source: Switch (arXiv:2101.03961), appendix
// A.
at::Tensor with_jitter(const RoutingContext& context, double jitter);

// What `linear` computes in: f32 for everything but f64.
at::ScalarType gate_dtype(const at::Tensor& x);

// A routing without rows: logits masked (those beyond allowed_TE's columns are null experts), and their score. Throws
// NonFiniteError naming layer and step if one is NaN or +inf.
Routing scored(const RoutingContext& context, const at::Tensor& allowed_TE, const at::Tensor& logits_TE,
               const std::string& score);

// softmax | sigmoid of masked logits; forbidden experts get 0. raw gives the softmax too: losses want probabilities.
at::Tensor score_of_logits(const at::Tensor& logits_TE, const std::string& score);

// The scores to choose by, without gradient: -inf where the logits are, so that a forbidden expert never ties with one
// whose score underflowed.
at::Tensor choice_scores(const Routing& routing);

using ops::top_indices;  // ties go to the lower index, so the choice is deterministic

// K candidates of each token and which of them count: a token may be allowed fewer than K experts.
struct Chosen {
  at::Tensor expert_TK;  // i64
  at::Tensor keep_TK;    // bool
};

// The K largest of each row; those at -inf do not count.
Chosen choose_top(const at::Tensor& choice_TE, int64_t K);

// K of this call: the context's rank override or the configured value. Throws ShapeError if outside [1, num_experts].
int64_t rank_of(const RoutingContext& context, const RouterConfig& config);

// Throws ConfigError if a text is none of those that one router knows.
void check_one_of(const std::string& value, const std::vector<std::string>& allowed, const char* key);

// Fills token_N, expert_N and weight_N of `routing` from the candidates that count.
void set_rows(Routing& routing, const Chosen& chosen, const at::Tensor& weight_TK);

}  // namespace polyphony::moe
