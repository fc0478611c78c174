// SPDX-License-Identifier: Apache-2.0
// Scores, choice and gradient of a softmax router on a GPU. C++17.
#pragma once
#include <cstdint>

namespace polyphony::ops {

// score[t] = softmax(logits[t]); expert[t] the K largest of it, ties to the lowest index, and weight[t] their scores;
// logits of -inf are never chosen: missing choices are expert E with weight 0.
struct TopkSoftmaxRows {
  const float* logits_TE;
  float* score_TE;
  float* weight_TK;
  int64_t* expert_TK;
  int64_t num_tokens;
  int64_t E;
  int64_t K;
};
void launch(const TopkSoftmaxRows& rows);

// The gradient of the logits for that of the weights.
struct TopkSoftmaxGradientRows {
  const float* score_TE;
  const int64_t* expert_TK;
  const float* dweight_TK;
  float* dlogits_TE;
  int64_t num_tokens;
  int64_t E;
  int64_t K;
};
void launch(const TopkSoftmaxGradientRows& rows);

}  // namespace polyphony::ops
