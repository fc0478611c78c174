// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/generate.h"

#include <cmath>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/rng.h"
#include "tests/pipelines/olmoe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

const at::Tensor kLogits = at::tensor({0.1F, 2.0F, -1.0F, 1.5F, 2.0F});

std::map<int64_t, int> draw(const SamplingOptions& options, int count) {
  auto generator = make_generator(3);
  std::map<int64_t, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sample_token(kLogits, options, generator)];
  return seen;
}

TEST(SampleToken, TakesTheLikeliestWithoutTemperature) {
  EXPECT_EQ(draw({}, 5), (std::map<int64_t, int>{{1, 5}}));
  EXPECT_EQ(draw({.temperature = 1, .top_k = 1}, 5), (std::map<int64_t, int>{{1, 5}}));
  EXPECT_EQ(draw({.temperature = 1, .top_p = 1e-9}, 5), (std::map<int64_t, int>{{1, 5}}));
}

TEST(SampleToken, DrawsByTheProbabilitiesAtTheTemperature) {
  const int count = 4000;
  for (const double temperature : {0.7, 2.0}) {
    const auto expected = (kLogits.to(at::kDouble) / temperature).softmax(0);
    auto seen = draw({.temperature = temperature}, count);
    for (int64_t token = 0; token < 5; ++token) {
      const double p = expected[token].item<double>();
      EXPECT_NEAR(seen[token], count * p, 5 * std::sqrt(count * p * (1 - p)) + 1) << token;
    }
  }
}

TEST(SampleToken, CutsTheTailByCountAndByProbability) {
  EXPECT_EQ(draw({.temperature = 5, .top_k = 2}, 200).size(), 2U);
  EXPECT_EQ(draw({.temperature = 5, .top_k = 99}, 500).size(), 5U);
  // softmax: 0.36 of tokens 1 and 4 each, 0.22 of 3: the first two do not reach 0.73, three do.
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.73}, 400).size(), 3U);
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.70}, 400).size(), 2U);
}

TEST(SampleToken, RefusesOptionsOutOfRangeAndNaN) {
  auto g = make_generator(0);
  EXPECT_REFUSED(UsageError, sample_token(kLogits, {.temperature = -0.1}, g), "[temperature]", "-0.1");
  EXPECT_REFUSED(UsageError, sample_token(kLogits, {.temperature = NAN}, g), "[temperature]");
  EXPECT_REFUSED(UsageError, sample_token(kLogits, {.top_k = -1}, g), "[top-k]");
  EXPECT_REFUSED(UsageError, sample_token(kLogits, {.top_p = 0}, g), "[top-p]");
  EXPECT_REFUSED(NonFiniteError, sample_token(at::tensor({1.0F, NAN}), {}, g), "NaN");
}

class GenerateTokens : public ::testing::Test {
 protected:
  FinishReason run(const std::vector<int64_t>& prompt, const GenerateOptions& options, uint64_t seed = 0,
                   int64_t stop_after = 1000) {
    auto generator = make_generator(seed);
    made_.clear();
    return generate_tokens(model_, prompt, options, generator, cache_, [&](int64_t token) {
      made_.push_back(token);
      return static_cast<int64_t>(made_.size()) < stop_after;
    });
  }
  OlmoeModel model_ = load_olmoe(olmoe_golden("mha")).model;
  OlmoeCache cache_;
  std::vector<int64_t> made_;
};

TEST_F(GenerateTokens, RepeatsItselfWithTheSameSeedOnly) {
  const GenerateOptions options{.sampling = {.temperature = 3}, .max_tokens = 12};
  std::vector<std::vector<int64_t>> texts;
  for (const uint64_t seed : {1, 1, 2}) {
    cache_ = {};
    run({5, 6}, options, seed);
    texts.push_back(made_);
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_NE(texts[0], texts[2]);
}

TEST_F(GenerateTokens, StopsAtTheEndTokenWithoutTellingIt) {
  ASSERT_EQ(run({5, 6}, {.max_tokens = 8}), FinishReason::max_tokens);
  const auto all = made_;
  model_.config.eos_token_ids = {all[3]};
  cache_ = {};
  const auto first = std::find(all.begin(), all.end(), all[3]);
  EXPECT_EQ(run({5, 6}, {.max_tokens = 8}), FinishReason::end_of_text);
  EXPECT_EQ(made_, std::vector<int64_t>(all.begin(), first));
}

TEST_F(GenerateTokens, StopsWhereItIsTold) {
  EXPECT_EQ(run({5, 6}, {.max_tokens = 8}, 0, 3), FinishReason::stopped);
  EXPECT_EQ(made_.size(), 3U);
}

TEST_F(GenerateTokens, GoesOnWithTheCacheAsWithTheWholeText) {
  model_.config.eos_token_ids = {};
  run({5, 6, 7}, {.max_tokens = 4});
  auto whole = std::vector<int64_t>{5, 6, 7};
  whole.insert(whole.end(), made_.begin(), made_.end());
  whole.push_back(9);
  run({made_.back(), 9}, {.max_tokens = 5});
  const auto continued = made_;
  cache_ = {};
  run(whole, {.max_tokens = 5});
  EXPECT_EQ(made_, continued);
}

TEST_F(GenerateTokens, EndsWithTheContext) {
  model_.config.eos_token_ids = {};
  const std::vector<int64_t> prompt(60, 7);  // of 64
  EXPECT_EQ(run(prompt, {.max_tokens = 100}), FinishReason::context);
  EXPECT_EQ(made_.size(), 5U);  // the last one need not be read
  cache_ = {};
  EXPECT_REFUSED(UsageError, run(std::vector<int64_t>(64, 7), {}), "64 tokens");
  EXPECT_REFUSED(UsageError, run({}, {}), "at least one token");
}

}  // namespace
}  // namespace polyphony::pipelines
