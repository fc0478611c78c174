// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/lm_arms.h"

#include <gtest/gtest.h>

#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

const StudyRun kQuick{.seed = 100, .quick = true, .progress = {}};

TrainedLm trained() {
  at::manual_seed(3);
  return train_lm({.model = {.moe = top_2_of_8()}, .quick_steps = 2}, kQuick);
}

TEST(LmArms, LooksAtWhatTheEvaluationSees) {
  const auto model = trained();
  double loss = 0, batches = 0;
  look_at_held_out(model, kQuick, [&](const LmBatch& batch, const LmOutput& output) {
    EXPECT_FALSE(output.logits_TV.requires_grad());
    loss += lm_loss(output, batch).item<double>();
    ++batches;
  });
  EXPECT_NEAR(loss / batches, evaluate_lm(model, kQuick).loss, 1e-5);
}

TEST(LmArms, ServesTheSameWeightsWithAnotherRouter) {
  const auto model = trained();
  const double loss = evaluate_lm(model, kQuick).loss;
  const auto same = with_router(model, [](moe::RouterConfig&) {});
  EXPECT_EQ(evaluate_lm(same, kQuick).loss, loss);
  const auto one = evaluate_lm(with_router(model, [](moe::RouterConfig& r) { r.experts_per_token = 1; }), kQuick);
  EXPECT_EQ(one.experts_per_token, 1);
  EXPECT_NE(one.loss, loss);
  EXPECT_EQ(model.model->config().moe.router.experts_per_token, 2) << "the first model stays as it was";
}

TEST(FineGrainedStudy, ComparesModelsOfEqualActiveSize) {
  const auto study = fine_grained_study();
  for (const auto& arm : study.arms) EXPECT_EQ(arm.run(kQuick).at("active"), 3 * 64 * 128 * 2) << arm.name;
}

TEST(LshDispatchStudy, CountsFewerRowsWithFewerHashes) {
  const auto study = lsh_dispatch_study();
  std::vector<double> sent;
  for (const auto& arm : study.arms) sent.push_back(arm.run(kQuick).at("rows_sent"));
  EXPECT_EQ(sent[0], 1) << study.arms[0].name;
  EXPECT_LT(sent[1], sent[2]);
  EXPECT_LT(sent[2], 1);
}

TEST(StochasticExpertsStudy, FindsAGapBetweenTwoDraws) {
  const auto study = stochastic_experts_study();
  for (const size_t i : {1U, 2U}) EXPECT_GT(study.arms.at(i).run(kQuick).at("gap"), 0) << study.arms[i].name;
}

}  // namespace
}  // namespace polyphony::pipelines
