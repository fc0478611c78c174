// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "core/ops/topk_softmax/topk_softmax_kernels.h"
#include "tests/core/ops/cuda_kernels/kernel_test.h"

namespace polyphony::testing {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

struct Want {
  std::vector<double> score, weight;
  std::vector<int64_t> expert;
};

Want plain_topk(const std::vector<float>& logits, int64_t T, int64_t E, int64_t K) {
  Want want;
  for (int64_t t = 0; t < T; ++t) {
    const float* logit = logits.data() + t * E;
    const double largest = *std::max_element(logit, logit + E);
    double sum = 0;
    for (int64_t e = 0; e < E; ++e) sum += logit[e] == kForbidden ? 0 : std::exp(logit[e] - largest);
    for (int64_t e = 0; e < E; ++e)
      want.score.push_back(logit[e] == kForbidden ? 0 : std::exp(logit[e] - largest) / sum);
    std::vector<int64_t> order(static_cast<size_t>(E));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return logit[a] > logit[b]; });
    for (int64_t k = 0; k < K; ++k) {
      const int64_t e = order[static_cast<size_t>(k)];
      const bool missing = logit[e] == kForbidden;
      want.expert.push_back(missing ? E : e);
      want.weight.push_back(missing ? 0 : want.score[static_cast<size_t>(t * E + e)]);
    }
  }
  return want;
}

class TopkSoftmaxKernels : public CudaKernel {
 protected:
  void check(const std::vector<float>& logits, int64_t T, int64_t E, int64_t K) {
    SCOPED_TRACE(::testing::Message() << T << " tokens, " << E << " experts, K " << K);
    const Want want = plain_topk(logits, T, E, K);
    const DeviceArray<float> device_logits(logits);
    std::vector<float> score, weight;
    const auto expert = in_every_order([&] {
      const DeviceArray<float> score_TE(unwritten<float>(T * E)), weight_TK(unwritten<float>(T * K));
      const DeviceArray<int64_t> expert_TK(unwritten<int64_t>(T * K));
      launch(ops::TopkSoftmaxRows{.logits_TE = device_logits.data(),
                                  .score_TE = score_TE.data(),
                                  .weight_TK = weight_TK.data(),
                                  .expert_TK = expert_TK.data(),
                                  .num_tokens = T,
                                  .E = E,
                                  .K = K});
      score = score_TE.host();
      weight = weight_TK.host();
      return expert_TK.host();
    });
    EXPECT_EQ(expert, want.expert);
    expect_near(score, want.score, 1e-6);
    expect_near(weight, want.weight, 1e-6);
    check_gradient(score, expert, T, E, K);
  }

  void check_gradient(const std::vector<float>& score, const std::vector<int64_t>& expert, int64_t T, int64_t E,
                      int64_t K) {
    const auto dweight = normal<float>(T * K);
    std::vector<double> want(score.size());
    for (int64_t t = 0; t < T; ++t)
      for (int64_t k = 0; k < K; ++k) {
        const int64_t chosen = expert[static_cast<size_t>(t * K + k)];
        if (chosen == E) continue;
        const double s = at(score, t * E + chosen), d = at(dweight, t * K + k);
        for (int64_t e = 0; e < E; ++e)
          want[static_cast<size_t>(t * E + e)] += d * s * ((e == chosen ? 1.0 : 0.0) - at(score, t * E + e));
      }
    const DeviceArray<float> device_score(score), device_dweight(dweight);
    const DeviceArray<int64_t> device_expert(expert);
    expect_near(in_every_order([&] {
                  const DeviceArray<float> dlogits(unwritten<float>(T * E));
                  launch(ops::TopkSoftmaxGradientRows{.score_TE = device_score.data(),
                                                      .expert_TK = device_expert.data(),
                                                      .dweight_TK = device_dweight.data(),
                                                      .dlogits_TE = dlogits.data(),
                                                      .num_tokens = T,
                                                      .E = E,
                                                      .K = K});
                  return dlogits.host();
                }),
                want, 1e-6);
  }
};

TEST_F(TopkSoftmaxKernels, ChooseTheLargestForEveryShape) {
  for (const int64_t E : {1, 2, 31, 32, 33, 100, 256})
    for (const int64_t K : {1, 2, 8})
      for (const int64_t T : {0, 1, 5})
        if (K <= E) check(normal<float>(T * E, 3), T, E, K);
  check(normal<float>(9 * 40), 9, 40, 40);
}

TEST_F(TopkSoftmaxKernels, GiveTiesToTheLowestIndex) {
  std::vector<float> logits;
  for (int64_t i = 0; i < 6 * 70; ++i) logits.push_back(static_cast<float>(below(3)));
  check(logits, 6, 70, 8);
}

TEST_F(TopkSoftmaxKernels, NeverChooseForbiddenExperts) {
  auto logits = normal<float>(5 * 64);
  for (auto& l : logits)
    if (below(10) != 0) l = kForbidden;
  std::fill(logits.begin(), logits.begin() + 64, kForbidden);  // a token with no expert at all
  logits[64 + 3] = 0.5f;                                       // and one with one at least
  use_thread_order(0);
  const int64_t T = 4;  // without the first
  check({logits.begin() + 64, logits.end()}, T, 64, 8);
  const DeviceArray<float> none({logits.begin(), logits.begin() + 64});
  const DeviceArray<float> score(unwritten<float>(64)), weight(unwritten<float>(2));
  const DeviceArray<int64_t> expert(unwritten<int64_t>(2));
  launch(ops::TopkSoftmaxRows{.logits_TE = none.data(),
                              .score_TE = score.data(),
                              .weight_TK = weight.data(),
                              .expert_TK = expert.data(),
                              .num_tokens = 1,
                              .E = 64,
                              .K = 2});
  EXPECT_EQ(score.host(), std::vector<float>(64, 0.0f));
  EXPECT_EQ(weight.host(), std::vector<float>(2, 0.0f));
  EXPECT_EQ(expert.host(), std::vector<int64_t>(2, 64));
}

}  // namespace
}  // namespace polyphony::testing
