// SPDX-License-Identifier: Apache-2.0
// One token's scores and choice on the CPU.
#pragma once
#include <cmath>
#include <cstdint>

namespace polyphony::ops {

// The softmax of a row of E logits, and the K largest of it. K passes over the row, no scratch memory: E and K are
// small. Missing choices are expert E with weight 0.
inline void topk_softmax_row(const float* logit, int64_t E, int64_t K, float* score, float* weight, int64_t* expert) {
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
    expert[k] = best;
    weight[k] = best == E ? 0 : score[best];
    last = best;
  }
}

}  // namespace polyphony::ops
