// SPDX-License-Identifier: Apache-2.0
// Every branch of the rule by which claims are judged.
#include "pipelines/study/judge.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

void add_runs(std::vector<StudyRunRecord>& runs, const std::string& arm, const std::vector<double>& losses) {
  for (size_t i = 0; i < losses.size(); ++i)
    runs.push_back({.arm = arm, .seed = i + 1, .metrics = {{"loss", losses[i]}}, .seconds = 1, .machine = "m"});
}

std::vector<StudyRunRecord> runs_of(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<StudyRunRecord> runs;
  add_runs(runs, "theirs", theirs);
  add_runs(runs, "ours", ours);
  return runs;
}

StudyClaim claim(ClaimRule rule, double factor = 1.0) {
  return {.text = "t", .metric = "loss", .arm = "ours", .than = "theirs", .rule = rule, .factor = factor};
}

TEST(Judge, LowerHoldsIfTheMeanAndAllSeedsAgree) {
  const auto verdict = judge(claim(ClaimRule::lower), runs_of({1, 2, 3}, {2, 3, 4}));
  EXPECT_TRUE(verdict.holds);
  EXPECT_DOUBLE_EQ(verdict.value, 2);
  EXPECT_DOUBLE_EQ(verdict.against, 3);
  EXPECT_EQ(verdict.agreeing, 3);
  EXPECT_EQ(verdict.num_seeds, 3);
}

TEST(Judge, OneSeedMayDisagree) { EXPECT_TRUE(judge(claim(ClaimRule::lower), runs_of({1, 1, 3.5}, {2, 2, 3})).holds); }

TEST(Judge, TwoSeedsMayNot) {
  const auto verdict = judge(claim(ClaimRule::lower), runs_of({1, 3.5, 3.5}, {9, 3, 3}));
  EXPECT_LT(verdict.value, verdict.against);
  EXPECT_EQ(verdict.agreeing, 1);
  EXPECT_FALSE(verdict.holds);
}

TEST(Judge, TheMeanMustAgreeToo) {
  const auto verdict = judge(claim(ClaimRule::lower), runs_of({1, 1, 9}, {2, 2, 3}));
  EXPECT_EQ(verdict.agreeing, 2);
  EXPECT_FALSE(verdict.holds);
}

TEST(Judge, EqualIsNeitherLowerNorHigher) {
  EXPECT_FALSE(judge(claim(ClaimRule::lower), runs_of({2, 2}, {2, 2})).holds);
  EXPECT_FALSE(judge(claim(ClaimRule::higher), runs_of({2, 2}, {2, 2})).holds);
}

TEST(Judge, HigherIsTheOtherWay) {
  EXPECT_TRUE(judge(claim(ClaimRule::higher), runs_of({3, 3, 3}, {2, 2, 4})).holds);
  EXPECT_FALSE(judge(claim(ClaimRule::higher), runs_of({1, 2, 3}, {2, 3, 4})).holds);
}

TEST(Judge, SeedsArePairedInWhateverOrderTheyWereRun) {
  std::vector<StudyRunRecord> runs = runs_of({1, 10}, {2, 11});
  std::swap(runs[0], runs[1]);
  EXPECT_EQ(judge(claim(ClaimRule::lower), runs).agreeing, 2);
}

TEST(Judge, NotWorseAllowsHalfAPercentOfTheMeanWhateverTheSeedsSay) {
  EXPECT_TRUE(judge(claim(ClaimRule::not_worse), runs_of({1.004, 1.004}, {1, 1})).holds);
  EXPECT_FALSE(judge(claim(ClaimRule::not_worse), runs_of({1.006, 1.006}, {1, 1})).holds);
  EXPECT_TRUE(judge(claim(ClaimRule::not_worse), runs_of({1.5, 1.5, 0}, {1, 1, 1})).holds);
  EXPECT_TRUE(judge(claim(ClaimRule::not_worse), runs_of({-0.996}, {-1})).holds);
  EXPECT_FALSE(judge(claim(ClaimRule::not_worse), runs_of({-0.99}, {-1})).holds);
}

TEST(Judge, TheFactorMultipliesTheOther) {
  EXPECT_TRUE(judge(claim(ClaimRule::lower, 0.6), runs_of({1, 1}, {2, 2})).holds);
  EXPECT_FALSE(judge(claim(ClaimRule::lower, 0.4), runs_of({1, 1}, {2, 2})).holds);
}

TEST(Judge, WithoutAnotherArmTheFactorIsTheBound) {
  auto bound = claim(ClaimRule::lower, 1.5);
  bound.than.clear();
  const auto verdict = judge(bound, runs_of({1, 1.2, 1.6}, {0, 0, 0}));
  EXPECT_TRUE(verdict.holds);
  EXPECT_DOUBLE_EQ(verdict.against, 1.5);
  EXPECT_EQ(verdict.agreeing, 2);
}

TEST(Judge, RefusesWhatWasNotMeasured) {
  const auto runs = runs_of({1, 1}, {2, 2});
  auto other = claim(ClaimRule::lower);
  other.metric = "accuracy";
  EXPECT_REFUSED(DataError, judge(other, runs), "'ours'", "accuracy");
  other = claim(ClaimRule::lower);
  other.than = "nobody";
  EXPECT_REFUSED(DataError, judge(other, runs), "'nobody' has no runs");
  EXPECT_REFUSED(DataError, judge(claim(ClaimRule::lower), runs_of({1, 1}, {2})), "different seeds");
  auto shifted = runs;
  shifted.back().seed = 7;
  EXPECT_REFUSED(DataError, judge(claim(ClaimRule::lower), shifted), "seed 7");
}

TEST(Judge, RulesHaveNames) {
  for (const auto rule : {ClaimRule::lower, ClaimRule::higher, ClaimRule::not_worse})
    EXPECT_EQ(claim_rule_named(to_string(rule)), rule);
  EXPECT_REFUSED(DataError, claim_rule_named("best"), "lower, higher, not_worse", "'best'");
}

TEST(Record, SpreadIsTheStandardDeviationOverSeeds) {
  const auto figures = mean_and_spread({{1, 1.0}, {2, 2.0}, {3, 3.0}});
  EXPECT_DOUBLE_EQ(figures.mean, 2);
  EXPECT_DOUBLE_EQ(figures.spread, 1);
  EXPECT_DOUBLE_EQ(mean_and_spread({{1, 5.0}}).spread, 0);
}

TEST(Record, NumbersAreShort) {
  EXPECT_EQ(short_number(1.23456), "1.235");
  EXPECT_EQ(short_number(24576), "24576");
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(-0.5), "-0.5");
}

}  // namespace
}  // namespace polyphony::pipelines
