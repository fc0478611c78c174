// SPDX-License-Identifier: Apache-2.0
// All experts learn from every token; how few of them are enough afterwards?
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kSteps = 1000, kServed = 3;

moe::MoEConfig eight_experts(const std::string& router, std::vector<moe::LossConfig> losses) {
  auto moe = top_2_of_8();
  moe.router = moe::router_defaults(router);
  moe.router.num_experts = 8;
  moe.router.experts_per_token = kServed;
  moe.experts.expert_hidden = 32;
  moe.losses = std::move(losses);
  return moe;
}

// Serves the trained model with 8, 4, 3, 2 and 1 experts a token; the figures without a number are those of 3.
StudyArm dense(const std::string& name, const std::string& what, std::vector<moe::LossConfig> losses) {
  const TinyLmArm lm{.model = {.moe = eight_experts("dense_training", std::move(losses))}, .num_steps = kSteps};
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            for (const int64_t K : {8, 4, 3, 2, 1}) {
              const auto served =
                  with_router(trained, [K](moe::RouterConfig& router) { router.experts_per_token = K; });
              metrics["loss_of_" + std::to_string(K)] = evaluate_lm(served, run).loss;
            }
            metrics["loss_3_over_8"] = metrics.at("loss_of_3") / metrics.at("loss_of_8");
            return metrics;
          }};
}

}  // namespace

Study dense_training_study() {
  return {.name = "dense_training",
          .title = "Dense training, sparse inference",
          .source = "DS-MoE (arXiv:2404.05567), section 3",
          .setting =
              "A synthetic language, 2 layers of width 64 with 8 experts of width 32, 1,000 steps of 512 tokens. 'Loss "
              "of K' is the loss of the same weights with K experts a token; loss is that of 3. 'Loss 3 over 8' is the "
              "loss with 3 experts over that with all 8.",
          .caveat =
              "Dense training computes 8 experts a token in each step, the sparse arm 3. The weight of the mutual "
              "information loss is larger than the paper's, whose models train for far longer.",
          .num_seeds = 5,
          .arms = {lm_arm("top-3", "3 experts a token in training, too",
                          eight_experts("topk", {{.name = "expert_balance", .weight = 0.01}}), kSteps),
                   dense("mutual information", "8 experts in training, tokens made sure and experts even by a loss",
                         {{.name = "mutual_information", .weight = 0.02}}),
                   dense("no loss", "8 experts in training, without that loss", {})},
          .claims = {{.text = "With the mutual information loss, 3 experts lose at most 2 % more than all 8.",
                      .metric = "loss_3_over_8",
                      .arm = "mutual information",
                      .factor = 1.02},
                     {.text = "Without it, going from 8 experts to 3 costs more.",
                      .metric = "loss_3_over_8",
                      .arm = "no loss",
                      .than = "mutual information",
                      .rule = ClaimRule::higher},
                     {.text = "With all 8 experts it loses no more for that loss.",
                      .metric = "loss_of_8",
                      .arm = "mutual information",
                      .than = "no loss",
                      .rule = ClaimRule::not_worse},
                     {.text = "Served with 3 experts, it loses no more than a model that was trained with 3.",
                      .metric = "loss",
                      .arm = "mutual information",
                      .than = "top-3",
                      .rule = ClaimRule::not_worse}}};
}

}  // namespace polyphony::pipelines
