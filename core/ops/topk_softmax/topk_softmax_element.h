// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <c10/macros/Macros.h>

#include <cmath>
#include <cstdint>

namespace polyphony::ops {

// Row t: its softmax, and the K largest of it. K passes over the row, no scratch memory: E and K are small.
struct TopkSoftmaxElement {
  const float* logits_TE;
  float* score_TE;
  float* weight_TK;
  int64_t* expert_TK;
  int64_t num_tokens;
  int64_t E;
  int64_t K;

  C10_HOST_DEVICE int64_t count() const { return num_tokens; }
  C10_HOST_DEVICE void operator()(int64_t t) const {
    const float* logit = logits_TE + t * E;
    float* score = score_TE + t * E;
    int64_t largest = E;
    for (int64_t e = 0; e < E; ++e)
      if (logit[e] > -INFINITY && (largest == E || logit[e] > logit[largest])) largest = e;
    float sum = 0;
    for (int64_t e = 0; e < E; ++e) {
      score[e] = largest == E ? 0 : std::exp(logit[e] - logit[largest]);
      sum += score[e];
    }
    for (int64_t e = 0; e < E; ++e) score[e] = largest == E ? 0 : score[e] / sum;
    int64_t last = E;  // the expert picked last; the next is the largest that comes after it in (logit, index) order
    for (int64_t k = 0; k < K; ++k) {
      int64_t best = E;
      for (int64_t e = 0; e < E; ++e) {
        const bool after = last == E ? k == 0 : logit[e] < logit[last] || (logit[e] == logit[last] && e > last);
        if (after && logit[e] > -INFINITY && (best == E || logit[e] > logit[best])) best = e;
      }
      expert_TK[t * K + k] = best;
      weight_TK[t * K + k] = best == E ? 0 : score[best];
      last = best;
    }
  }
};

}  // namespace polyphony::ops
