// SPDX-License-Identifier: Apache-2.0
// One packed sequence of tokens of any modality: what every encoder makes and the backbone reads.
// Shapes: T packed tokens of all samples, D width, A position axes, B samples.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/modality.h"

namespace polyphony {

inline constexpr int64_t kPositionAxes = 3;  // order in the sequence, row, column

// Samples follow one another without padding. Within a sample `span_T` never falls: a token sees every token of its
// sample whose span is not later than its own. Text gives each token a span of its own (causal); an image or a latent
// gives all its tokens one span (bidirectional, and it sees what came before).
struct TokenSequence {
  at::Tensor tokens_TD;                       // float
  at::Tensor modality_T;                      // u8, values of Modality
  at::Tensor position_TA;                     // f32, kPositionAxes columns
  at::Tensor span_T;                          // i64
  at::Tensor token_id_T;                      // i64: vocabulary id of text, index within its span otherwise
  std::vector<int64_t> sample_offsets = {0};  // B + 1 values, first 0, last T

  int64_t num_tokens() const { return sample_offsets.back(); }
  int64_t num_samples() const { return static_cast<int64_t>(sample_offsets.size()) - 1; }
};

// Checks shapes, dtypes and offsets against each other. Throws ShapeError naming the field.
void check_token_sequence(const TokenSequence& sequence);

// i64 (T): the sample that each token belongs to.
at::Tensor sample_of_token(const TokenSequence& sequence);

// Packs samples one after another; all must share width and device. Throws ShapeError; an empty list is an error.
TokenSequence concat_samples(const std::vector<TokenSequence>& parts);

// Joins parts of ONE sample in order into one sample: spans and the sequence axis go on counting from part to part.
// Each part must hold one sample. Throws ShapeError.
TokenSequence join_parts(const std::vector<TokenSequence>& parts);

// i64: rows of one modality, ascending.
at::Tensor tokens_of(const TokenSequence& sequence, Modality modality);

}  // namespace polyphony
