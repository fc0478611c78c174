// SPDX-License-Identifier: Apache-2.0
// The language is what it says, and the model that studies train learns it and is measured rightly.
#include "pipelines/study/tiny_lm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

constexpr BatchSize kSize{.num_samples = 64, .length = 32};

std::vector<int64_t> numbers(const at::Tensor& x) {
  return {x.const_data_ptr<int64_t>(), x.const_data_ptr<int64_t>() + x.numel()};
}

// Calls back with (place in the sample, place in the batch) of each token whose target is of the kind.
template <class OnToken>
int64_t for_each_of(TokenKind kind, const LmBatch& batch, OnToken on_token) {
  const auto kinds = numbers(batch.kind_T);
  int64_t count = 0;
  for (int64_t t = 0; t < static_cast<int64_t>(kinds.size()); ++t) {
    if (kinds[t] != static_cast<int64_t>(kind)) continue;
    on_token(t % batch.length, t);
    ++count;
  }
  return count;
}

TEST(TinyLanguage, EasyTokensRepeatTheWordBeforeTheMarker) {
  const LanguageConfig language;
  const auto batch = training_batch(language, 1, 0, kSize);
  const auto ids = numbers(batch.ids_T), targets = numbers(batch.targets_T);
  const auto seen = for_each_of(TokenKind::easy, batch, [&](int64_t s, int64_t t) {
    ASSERT_GE(s, 1);
    EXPECT_EQ(ids[t], language.copy_id());
    EXPECT_EQ(targets[t], ids[t - 1]);
  });
  EXPECT_GT(seen, 50);
}

TEST(TinyLanguage, HardTokensAreTheSumOfTheTwoWordsBeforeTheMarker) {
  const LanguageConfig language;
  const auto batch = training_batch(language, 1, 0, kSize);
  const auto ids = numbers(batch.ids_T), targets = numbers(batch.targets_T);
  const auto seen = for_each_of(TokenKind::hard, batch, [&](int64_t s, int64_t t) {
    ASSERT_GE(s, 2);
    EXPECT_EQ(ids[t], language.sum_id());
    EXPECT_LT(std::max(ids[t - 1], ids[t - 2]), language.num_words);
    EXPECT_EQ(targets[t], (ids[t - 1] + ids[t - 2]) % language.modulus);
  });
  EXPECT_GT(seen, 50);
}

TEST(TinyLanguage, PlainWordsFollowTheTableOfTheirDomain) {
  const LanguageConfig language;
  const auto batch = held_out_batch(language, 3, kSize);
  const auto ids = numbers(batch.ids_T), targets = numbers(batch.targets_T), domains = numbers(batch.domain_B);
  const auto seen = for_each_of(TokenKind::plain, batch, [&](int64_t, int64_t t) {
    if (targets[t] >= language.num_words) return;  // a marker
    const auto words = successors(language, domains[t / batch.length], ids[t]);
    EXPECT_NE(std::find(words.begin(), words.end(), targets[t]), words.end());
  });
  EXPECT_GT(seen, 500);
  EXPECT_NE(successors(language, 0, 5), successors(language, 1, 5));
}

TEST(TinyLanguage, TargetsAreTheNextTokens) {
  const auto batch = training_batch({}, 1, 0, kSize);
  const auto ids = batch.ids_T.view({64, 32}), targets = batch.targets_T.view({64, 32});
  EXPECT_TRUE(at::equal(ids.narrow(1, 1, 31), targets.narrow(1, 0, 31)));
}

TEST(TinyLanguage, ASeedAndStepGiveTheSameBitsAndOthersDoNot) {
  const auto batch = training_batch({}, 1, 5, kSize);
  EXPECT_TRUE(at::equal(batch.ids_T, training_batch({}, 1, 5, kSize).ids_T));
  EXPECT_FALSE(at::equal(batch.ids_T, training_batch({}, 1, 6, kSize).ids_T));
  EXPECT_FALSE(at::equal(batch.ids_T, training_batch({}, 2, 5, kSize).ids_T));
}

TEST(TinyLanguage, HeldOutSequencesAreNotThoseOfTheTraining) {
  const LanguageConfig language;
  const auto held_out = held_out_batch(language, 0, kSize).ids_T.view({64, 32});
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, language.table_seed})
    for (int64_t step = 0; step < 20; ++step) {
      const auto trained = training_batch(language, seed, step, kSize).ids_T.view({64, 32});
      const auto same_BB = (held_out.unsqueeze(1) == trained.unsqueeze(0)).all(2);
      EXPECT_FALSE(same_BB.any().item<bool>());
    }
}

TEST(TinyLanguage, RefusesWhatCannotBe) {
  EXPECT_REFUSED(ConfigError, training_batch({.num_words = 4, .modulus = 8}, 1, 0, kSize), "modulus", "8");
  EXPECT_REFUSED(ConfigError, training_batch({.num_words = 3}, 1, 0, kSize), "successors");
}

TinyLmArm top_2_of_4() {
  TinyLmArm arm;
  arm.model.dim = 32;
  arm.model.moe.router.num_experts = 4;
  arm.model.moe.experts.expert_hidden = 16;
  arm.quick_steps = 60;
  return arm;
}

StudyMetrics run_from_seed(const TinyLmArm& arm, uint64_t seed) {
  at::manual_seed(seed);
  return run_lm(arm, {.seed = seed, .quick = true, .progress = {}});
}

TEST(TinyLm, LearnsAndIsMeasured) {
  const auto metrics = run_from_seed(top_2_of_4(), 1);
  const double chance = std::log(static_cast<double>(LanguageConfig{}.vocab_size()));
  EXPECT_LT(metrics.at("loss"), chance - 0.2);
  EXPECT_DOUBLE_EQ(metrics.at("experts_per_token"), 2);
  EXPECT_DOUBLE_EQ(metrics.at("expert_calls"), 2);
  EXPECT_DOUBLE_EQ(metrics.at("calls_easy"), 2);
  EXPECT_DOUBLE_EQ(metrics.at("active"), 2 * 2 * 3 * 32 * 16);  // layers, experts, matrices, their sizes
  EXPECT_GE(metrics.at("max_load"), 1);
  EXPECT_LE(metrics.at("max_load"), 4);
}

TEST(TinyLm, ASeedGivesTheSameFiguresAndAnotherDoesNot) {
  auto arm = top_2_of_4();
  arm.quick_steps = 5;
  const auto first = run_from_seed(arm, 3);
  EXPECT_EQ(first, run_from_seed(arm, 3));
  EXPECT_NE(first.at("loss"), run_from_seed(arm, 4).at("loss"));
}

TEST(TinyLm, TheAdditionalLossSeesEveryStepAndCounts) {
  auto arm = top_2_of_4();
  arm.quick_steps = 5;
  const auto without = run_from_seed(arm, 3);
  int64_t calls = 0;
  arm.additional_loss = [&](const LmStep& step) {
    EXPECT_EQ(step.step, calls++);
    EXPECT_EQ(step.output.routings.size(), 2u);
    return 0.1 * step.output.logits_TV.square().mean();
  };
  EXPECT_NE(run_from_seed(arm, 3).at("loss"), without.at("loss"));
  EXPECT_EQ(calls, 5);
}

}  // namespace
}  // namespace polyphony::pipelines
