// SPDX-License-Identifier: Apache-2.0
// What single expert kinds promise: the degenerate cases in which one kind is another.
#include <gtest/gtest.h>

#include "moe/experts/gated_mlp.h"
#include "moe/experts/lsh.h"
#include "moe/moe_layer.h"
#include "tests/moe/experts/bank_cases.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

at::Tensor run(ExpertBank& bank, const BankRows& r) {
  return bank.forward({.x_TD = r.x_TD, .plan = r.plan, .weight_N = r.weight_N});
}

void copy_into(const at::Tensor& to, const at::Tensor& from) {
  const at::NoGradGuard no_grad;
  to.copy_(from);
}

TEST(SizedBank, EqualsTheFeedForwardBankWhenAllWidthsAreEqual) {
  const auto sized = random_bank({.name = "sized", .model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6});
  const auto plain = random_bank({.model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6});
  ASSERT_EQ(sized->parameters().size(), 2U) << "one run of equal widths";
  const auto r = bank_rows(12, 5);
  EXPECT_TRUE(at::equal(run(*sized, r), run(*plain, r)));
}

TEST(SizedBank, SpreadsWidthsAndCountsTheirCost) {
  const auto bank = make_expert_bank(
      {.name = "sized", .model_dim = kBankWidth, .num_experts = 3, .expert_hidden = 4, .expert_hidden_end = 16});
  EXPECT_TRUE(at::equal(bank->cost_E(), at::tensor({0.25, 0.5, 1.0}, at::kDouble)));
  const auto even = make_expert_bank({.name = "sized",
                                      .model_dim = kBankWidth,
                                      .num_experts = 3,
                                      .expert_hidden = 4,
                                      .expert_hidden_end = 16,
                                      .size_progression = "arithmetic"});
  EXPECT_TRUE(at::equal(even->cost_E(), at::tensor({0.25, 0.625, 1.0}, at::kDouble)));
}

BankRows all_to(int64_t expert, int64_t E) {
  auto r = bank_rows(6, 1);
  r.expert_N.fill_(expert);
  r.weight_N.fill_(1);
  r.plan = ops::make_dispatch_plan(r.token_N, r.expert_N, 6, E);
  return r;
}

// Two MLPs, one constant, one copy, one zero.
ExpertBankConfig zero_computation() {
  return {.name = "zero_computation", .model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6, .num_constant = 1};
}

TEST(ZeroComputationBank, CopiesGivesZeroAndMixes) {
  const auto bank = random_bank(zero_computation());
  const auto copy = all_to(3, 5), zero = all_to(4, 5), constant = all_to(2, 5);
  EXPECT_TRUE(at::equal(run(*bank, copy), copy.x_TD));
  EXPECT_EQ(run(*bank, zero).abs().max().item<float>(), 0);
  const auto p = bank->named_parameters();
  const auto share = at::matmul(constant.x_TD, p["constant_mix"][0].t()).softmax(1);
  const auto expected = share.narrow(1, 0, 1) * constant.x_TD + share.narrow(1, 1, 1) * p["constant_vector"];
  EXPECT_TRUE(at::allclose(run(*bank, constant), expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(bank->cost_E(), at::tensor({1.0, 1.0, 0.0, 0.0, 0.0}, at::kDouble)));
}

TEST(ZeroComputationBank, WithMlpsAloneIsTheFeedForwardBank) {
  auto config = zero_computation();
  config.num_constant = config.num_copy = config.num_zero = 0;
  const auto r = bank_rows(12, 5);
  const auto plain = random_bank({.model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6});
  EXPECT_TRUE(at::equal(run(*random_bank(config), r), run(*plain, r)));
}

TEST(ZeroComputationBank, GivesNoGradientForRowsOfTheZeroExpert) {
  const auto bank = random_bank(zero_computation());
  auto r = all_to(4, 5);
  r.x_TD.requires_grad_();
  r.weight_N.requires_grad_();
  run(*bank, r).sum().backward();
  EXPECT_EQ(r.x_TD.grad().abs().max().item<float>(), 0);
  EXPECT_EQ(r.weight_N.grad().abs().max().item<float>(), 0);
}

ExpertBankConfig lora() {
  return {
      .name = "lora", .model_dim = kBankWidth, .num_experts = 3, .expert_hidden = 6, .lora_rank = 2, .lora_alpha = 6};
}

TEST(LoraBank, EqualsItsBaseWhereBIsZero) {
  at::manual_seed(2);
  const auto bank = make_expert_bank(lora());
  const auto p = bank->named_parameters();
  const auto r = all_to(1, 3);
  const auto base = gated_mlp(r.x_TD, {.w13_2FD = p["w13"], .w2_DF = p["w2"]}, ops::Activation::silu);
  EXPECT_TRUE(at::equal(run(*bank, r), base));
}

TEST(LoraBank, EqualsExpertsWithMergedWeights) {
  const auto bank = random_bank(lora());
  const auto merged = make_expert_bank({.model_dim = kBankWidth, .num_experts = 3, .expert_hidden = 6});
  const auto p = bank->named_parameters();
  const double scale = 6.0 / 2.0;  // alpha over rank
  copy_into(merged->named_parameters()["w13"], p["w13"] + scale * at::bmm(p["lora_b13"], p["lora_a13"]));
  copy_into(merged->named_parameters()["w2"], p["w2"] + scale * at::bmm(p["lora_b2"], p["lora_a2"]));
  const auto r = bank_rows(12, 3);
  EXPECT_TRUE(at::allclose(run(*bank, r), run(*merged, r), 1e-4, 1e-4));
}

TEST(LoraBank, LeavesAFrozenBaseWithoutGradient) {
  const auto bank = random_bank(lora());
  run(*bank, bank_rows(12, 3)).sum().backward();
  EXPECT_FALSE(bank->named_parameters()["w13"].grad().defined());
  EXPECT_TRUE(bank->named_parameters()["lora_a13"].grad().defined());
}

TEST(LoraBank, GivesEachModalityItsOwnAdapterByTheGroupsOfTheLayer) {
  MoEConfig config{.router = {.model_dim = kWidth, .experts_per_token = 1},
                   .experts = {.name = "lora", .expert_hidden = 8},
                   .groups = {{.name = "text", .modalities = {Modality::text}, .num_experts = 1},
                              {.name = "image", .modalities = {Modality::image}, .num_experts = 1}}};
  MoELayer layer(config);
  const auto c = random_context({.groups = config.groups});
  const auto before = layer.forward(c).y_TD;
  {
    const at::NoGradGuard no_grad;
    layer.named_parameters()["experts.lora_b13"][1].normal_();
    layer.named_parameters()["experts.lora_b2"][1].normal_();
  }
  const auto after = layer.forward(c).y_TD;
  const auto text = c.modality_T == static_cast<uint8_t>(Modality::text);
  EXPECT_TRUE(at::equal(before.index({text}), after.index({text})));
  EXPECT_FALSE(at::equal(before.index({~text}), after.index({~text})));
}

TEST(AdapterBank, ChangesNothingBeforeTraining) {
  const auto bank = make_expert_bank({.name = "adapter", .model_dim = kBankWidth, .num_experts = 3, .lora_rank = 2});
  EXPECT_EQ(run(*bank, bank_rows(12, 3)).abs().max().item<float>(), 0);
}

TEST(AdapterBank, IsTheProductOfItsFactorsTimesAlphaOverRank) {
  const auto bank =
      random_bank({.name = "adapter", .model_dim = kBankWidth, .num_experts = 3, .lora_rank = 2, .lora_alpha = 3});
  const auto p = bank->named_parameters();
  const auto r = all_to(2, 3);
  const auto delta = 1.5 * at::matmul(p["lora_b"][2], p["lora_a"][2]);
  EXPECT_TRUE(at::allclose(run(*bank, r), at::matmul(r.x_TD, delta.t()), 1e-5, 1e-6));
}

TEST(CompressedBank, IsExactForTheIdentityWhateverTheBuckets) {
  auto config = zero_computation();
  config.lsh_hashes = 1;
  const auto bank = random_bank(config);
  const auto copy = all_to(3, 5);
  EXPECT_TRUE(at::allclose(run(*bank, copy), copy.x_TD, 0, 1e-6));
}

TEST(CompressedBank, IsExactWhereABucketHoldsOneRowOrEqualRows) {
  ExpertBankConfig config{.model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6, .lsh_hashes = 24};
  const auto r = bank_rows(12, 5);
  auto plain_config = config;
  plain_config.lsh_hashes = 0;
  const auto plain = random_bank(plain_config);
  EXPECT_TRUE(at::allclose(run(*random_bank(config), r), run(*plain, r), 1e-4, 1e-5)) << "24 hashes part all rows";
  config.lsh_hashes = 1;
  auto equal_rows = r;
  equal_rows.x_TD = r.x_TD.narrow(0, 0, 1).repeat({12, 1});
  EXPECT_TRUE(at::allclose(run(*random_bank(config), equal_rows), run(*plain, equal_rows), 1e-4, 1e-5));
}

TEST(CompressedBank, JoinsRowsAndDrawsItsHashesFromTheSeed) {
  ExpertBankConfig config{.model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6};
  const auto r = bank_rows(200, 5);
  const auto plain = run(*random_bank(config), r);
  config.lsh_hashes = 1;
  const auto joined = run(*random_bank(config), r);
  EXPECT_FALSE(at::allclose(joined, plain, 1e-3, 1e-3));
  EXPECT_TRUE(at::equal(run(*random_bank(config), r), joined));
  config.lsh_seed = 5;
  EXPECT_FALSE(at::equal(run(*random_bank(config), r), joined));
}

TEST(CompressedBank, CountsTheRowsThatItJoins) {
  ExpertBankConfig config{.model_dim = kBankWidth, .num_experts = 5, .expert_hidden = 6};
  auto equal_rows = bank_rows(12, 5);
  equal_rows.x_TD = equal_rows.x_TD.narrow(0, 0, 1).repeat({12, 1});
  const auto plain = random_bank(config);
  run(*plain, equal_rows);
  EXPECT_EQ(joined_rows(*plain).rows, 0) << "nothing is joined";
  config.lsh_hashes = 1;
  const auto bank = random_bank(config);
  run(*bank, equal_rows);
  const auto [rows, buckets] = joined_rows(*bank);
  EXPECT_EQ(rows, equal_rows.plan.num_rows());
  EXPECT_EQ(buckets, std::get<0>(at::_unique(equal_rows.plan.expert_R)).numel()) << "one for each expert that has rows";
  run(*bank, equal_rows);
  EXPECT_EQ(joined_rows(*bank).rows, 2 * rows) << "a sum over passes";
}

}  // namespace
}  // namespace polyphony::moe
