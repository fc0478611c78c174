// SPDX-License-Identifier: Apache-2.0
// A warp a token: its lanes stride over the experts.
#include "core/ops/topk_softmax/topk_softmax_kernels.h"

#include <cmath>

#include "core/ops/cuda_reduce.cuh"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;
constexpr int kTokensPerBlock = kThreads / kWarp;

// An expert and its logit; no expert is {-inf, E}, which every allowed expert comes before.
struct Candidate {
  float logit;
  int expert;
};

__device__ inline bool comes_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.expert < b.expert);
}

// Every lane gets the candidate that comes before all others. All 32 lanes must call it.
__device__ inline Candidate warp_first(Candidate best) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const Candidate other{__shfl_xor_sync(kAllLanes, best.logit, distance),
                          __shfl_xor_sync(kAllLanes, best.expert, distance)};
    if (comes_before(other, best)) best = other;
  }
  return best;
}

__global__ void topk_softmax_kernel(TopkSoftmaxRows in) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kTokensPerBlock + threadIdx.x / kWarp;
  if (t >= in.num_tokens) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int E = static_cast<int>(in.E);
  const float* logit = in.logits_TE + t * E;
  const Candidate none{-INFINITY, E};

  // The expert that comes right behind `last`.
  const auto next = [&](const Candidate& last) {
    Candidate best = none;
    for (int e = lane; e < E; e += kWarp) {
      const Candidate candidate{logit[e], e};
      if (candidate.logit > -INFINITY && comes_before(last, candidate) && comes_before(candidate, best))
        best = candidate;
    }
    return warp_first(best);
  };

  const Candidate first = next({INFINITY, -1});
  float sum = 0;
  for (int e = lane; e < E; e += kWarp) sum += first.expert == E ? 0 : std::exp(logit[e] - first.logit);
  sum = warp_sum(sum);
  const auto score = [&](float l) { return first.expert == E ? 0 : std::exp(l - first.logit) / sum; };
  for (int e = lane; e < E; e += kWarp) in.score_TE[t * E + e] = score(logit[e]);

  Candidate chosen = first;
  for (int64_t k = 0; k < in.K; ++k) {
    if (k > 0) chosen = next(chosen);
    if (lane != 0) continue;
    in.expert_TK[t * in.K + k] = chosen.expert;
    in.weight_TK[t * in.K + k] = chosen.expert == E ? 0 : score(chosen.logit);
  }
}

__global__ void topk_softmax_gradient_kernel(TopkSoftmaxGradientRows in) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * kTokensPerBlock + threadIdx.x / kWarp;
  if (t >= in.num_tokens) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float* score = in.score_TE + t * in.E;
  const int64_t* expert = in.expert_TK + t * in.K;
  const float* dweight = in.dweight_TK + t * in.K;

  float dot = 0;  // of the scores and their gradients
  for (int64_t k = lane; k < in.K; k += kWarp)
    if (expert[k] < in.E) dot += dweight[k] * score[expert[k]];
  dot = warp_sum(dot);
  for (int64_t e = lane; e < in.E; e += kWarp) {
    float dscore = 0;
    for (int64_t k = 0; k < in.K; ++k)
      if (expert[k] == e) dscore = dweight[k];
    in.dlogits_TE[t * in.E + e] = score[e] * (dscore - dot);
  }
}

int64_t blocks_of(int64_t num_tokens) { return (num_tokens + kTokensPerBlock - 1) / kTokensPerBlock; }

}  // namespace

void launch(const TopkSoftmaxRows& rows) {
  launch_kernel<topk_softmax_kernel>({blocks_of(rows.num_tokens), kThreads}, rows);
}
void launch(const TopkSoftmaxGradientRows& rows) {
  launch_kernel<topk_softmax_gradient_kernel>({blocks_of(rows.num_tokens), kThreads}, rows);
}

}  // namespace polyphony::ops
