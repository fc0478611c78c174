// SPDX-License-Identifier: Apache-2.0
#include "core/ops/topk_softmax/topk_softmax.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "core/error.h"

namespace polyphony::ops {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

TEST(TopkSoftmax, EqualsTheReferenceWithTiesAndForbiddenExperts) {
  at::manual_seed(1);
  for (const int64_t K : {1, 3, 8}) {
    at::Tensor logits = (at::randn({200, 8}) * 2).round();  // many ties
    logits = logits.masked_fill(at::rand({200, 8}) < 0.4, kForbidden).requires_grad_();
    const TopkSoftmax got = topk_softmax(logits, K);
    const TopkSoftmax want = topk_softmax_reference(logits, K);
    EXPECT_TRUE(at::equal(got.expert_TK, want.expert_TK));
    EXPECT_TRUE(at::allclose(got.weight_TK, want.weight_TK, 1e-6, 1e-7));
    EXPECT_TRUE(at::allclose(got.score_TE, want.score_TE, 1e-6, 1e-7));
    const at::Tensor direction = at::randn({200, K});
    const at::Tensor some =
        (logits > kForbidden).any(1, true).to(at::kFloat);  // the reference's gradient is NaN without any
    EXPECT_TRUE(at::allclose(torch::autograd::grad({got.weight_TK}, {logits}, {direction})[0] * some,
                             torch::autograd::grad({want.weight_TK}, {logits}, {direction})[0].nan_to_num() * some,
                             1e-5, 1e-6));
  }
}

TEST(TopkSoftmax, TiesGoToTheLowestIndex) {
  const TopkSoftmax out = topk_softmax(at::tensor({1.f, 2.f, 2.f, 1.f}).unsqueeze(0), 3);
  EXPECT_TRUE(at::equal(out.expert_TK[0], at::tensor({1, 2, 0}, at::kLong)));
}

TEST(TopkSoftmax, FillsUpWithTheNullExpert) {
  const TopkSoftmax out = topk_softmax(at::tensor({kForbidden, 0.f, kForbidden}).unsqueeze(0), 2);
  EXPECT_TRUE(at::equal(out.expert_TK[0], at::tensor({1, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(out.weight_TK[0], at::tensor({1.f, 0.f})));
  const TopkSoftmax none = topk_softmax(at::full({1, 3}, kForbidden), 1);
  EXPECT_EQ(none.expert_TK.item<int64_t>(), 3);
  EXPECT_EQ(none.weight_TK.item<float>(), 0);
}

TEST(TopkSoftmax, RefusesShapesThatDoNotFit) {
  EXPECT_THROW(topk_softmax(at::zeros({2, 3}), 4), ShapeError);
  EXPECT_THROW(topk_softmax(at::zeros({2, 3}), 0), ShapeError);
  EXPECT_THROW(topk_softmax(at::zeros({2, 3}, at::kBFloat16), 1), ShapeError);
  EXPECT_EQ(topk_softmax(at::zeros({0, 3}), 2).weight_TK.size(0), 0);
}

}  // namespace
}  // namespace polyphony::ops
