// SPDX-License-Identifier: Apache-2.0
// The block by itself; its numbers are tested against the published code in tests/pipelines/dit_moe.
#include "moe/blocks/dit_block.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace polyphony::moe {
namespace {

constexpr int64_t kBatch = 2, kTokens = 3, kDim = 8;

DitBlock make_block() {
  return DitBlock({.num_heads = 2,
                   .moe = {.router = {.model_dim = kDim, .num_experts = 4, .normalise = "none"},
                           .experts = {.expert_hidden = 16},
                           .shared_hidden = 16}});
}

nn::AttentionLayout layout() {
  const int64_t T = kBatch * kTokens;
  return nn::make_attention_layout({.tokens_TD = at::zeros({T, kDim}),
                                    .modality_T = at::zeros({T}, at::kByte),
                                    .position_TA = at::zeros({T, kPositionAxes}),
                                    .span_T = at::zeros({T}, at::kLong),
                                    .token_id_T = at::zeros({T}, at::kLong),
                                    .sample_offsets = {0, kTokens, T}});
}

RoutingContext context() { return {.modality_T = at::zeros({kBatch * kTokens}, at::kByte)}; }

TEST(DitBlock, IsTheIdentityBeforeAnyTraining) {
  auto block = make_block();
  const auto x_BSD = at::randn({kBatch, kTokens, kDim});
  EXPECT_TRUE(at::equal(block.forward(x_BSD, at::randn({kBatch, kDim}), layout(), context()).x_BSD, x_BSD));
}

TEST(DitBlock, ModulatesEachSampleByItsOwnCondition) {
  at::manual_seed(2);
  const at::NoGradGuard no_grad;
  auto block = make_block();
  for (auto& parameter : block.parameters()) parameter.normal_(0, 0.3);
  const auto x_BSD = at::randn({kBatch, kTokens, kDim}), condition_BD = at::randn({kBatch, kDim});
  const auto both = block.forward(x_BSD, condition_BD, layout(), context()).x_BSD;
  auto other = condition_BD.clone();
  other[1].zero_();
  const auto changed = block.forward(x_BSD, other, layout(), context()).x_BSD;
  EXPECT_TRUE(at::allclose(changed[0], both[0], 1e-6, 1e-6));
  EXPECT_FALSE(at::allclose(changed[1], both[1], 1e-3, 1e-3));
}

TEST(DitBlock, ReplaysARoutingInPlaceOfItsOwn) {
  at::manual_seed(3);
  const at::NoGradGuard no_grad;
  auto block = make_block();
  for (auto& parameter : block.parameters()) parameter.normal_(0, 0.3);
  const auto x_BSD = at::randn({kBatch, kTokens, kDim}), condition_BD = at::randn({kBatch, kDim});
  const auto own = block.forward(x_BSD, condition_BD, layout(), context());
  EXPECT_TRUE(at::equal(block.forward(x_BSD, condition_BD, layout(), context(), &own.routing).x_BSD, own.x_BSD));
  auto silent = own.routing;
  silent.weight_N = at::zeros_like(silent.weight_N);
  EXPECT_FALSE(at::equal(block.forward(x_BSD, condition_BD, layout(), context(), &silent).x_BSD, own.x_BSD));
}

}  // namespace
}  // namespace polyphony::moe
