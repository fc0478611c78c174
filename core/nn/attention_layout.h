// SPDX-License-Identifier: Apache-2.0
// How packed samples become a padded batch and who may see whom: made once a batch, read by every layer.
// Shapes: T packed tokens, B samples, S the longest sample.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/token_sequence.h"

namespace polyphony::nn {

// A query sees the keys of its own sample whose span is not later than its own. A padded query sees itself alone, so
// that no row of the mask is empty and no softmax gives NaN; nothing reads what it gives.
struct AttentionLayout {
  at::Tensor token_P;    // i64 (B * S): packed token of each padded place, 0 where there is none
  at::Tensor place_T;    // i64: padded place of each packed token, b * S + s
  at::Tensor mask_B1SS;  // bool (B, 1, S, S): may query (third axis) see key (last axis); undefined if all may see all
  int64_t num_samples = 0;
  int64_t max_length = 0;
  bool causal =
      false;  // every token sees exactly itself and those before it, nothing is padded; then mask is undefined
  std::vector<int64_t> lengths;  // B
};

// Samples of no tokens are allowed. Throws ShapeError if the sequence does not fit together.
AttentionLayout make_attention_layout(const TokenSequence& sequence);

// (T, C) -> (B, S, C), padded places get copies of token 0; and back.
at::Tensor pad_tokens(const at::Tensor& x_TC, const AttentionLayout& layout);
at::Tensor unpad_tokens(const at::Tensor& x_BSC, const AttentionLayout& layout);

}  // namespace polyphony::nn
