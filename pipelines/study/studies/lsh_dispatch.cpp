// SPDX-License-Identifier: Apache-2.0
// Rows of an expert that hash alike travel as one: how many are left, and what does it cost in loss?
#include "moe/experts/lsh.h"
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

// Share of the rows that travelled, over all layers and all batches that the model has seen.
double rows_sent(const TinyLm& model) {
  int64_t rows = 0, buckets = 0;
  for (const auto& block : model.backbone()->blocks()) {
    const auto joined = moe::joined_rows(*block->moe()->experts());
    rows += joined.rows;
    buckets += joined.buckets;
  }
  return rows == 0 ? 1.0 : static_cast<double>(buckets) / static_cast<double>(rows);
}

StudyArm arm(const std::string& name, const std::string& what, int64_t hashes) {
  TinyLmArm lm{
      .model = {.moe = top_2_of_8()}, .batch = {.num_samples = 32, .length = 32}, .num_steps = 800, .quick_steps = 5};
  lm.model.moe.experts.lsh_hashes = hashes;
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) {
            const auto trained = train_lm(lm, run);
            auto metrics = metrics_of(evaluate_lm(trained, run));
            metrics["rows_sent"] = rows_sent(*trained.model);
            metrics["active"] *= metrics["rows_sent"];
            return metrics;
          }};
}

}  // namespace

Study lsh_dispatch_study() {
  return {
      .name = "lsh_dispatch",
      .title = "Similar rows travel as one: hashed dispatch",
      .source = "LSH-MoE (arXiv:2411.08446)",
      .setting =
          "A synthetic language, 2 layers of width 64 with 8 experts of width 64, 2 for each token, 800 steps of 1,024 "
          "tokens. Rows of an expert with equal hashes are sent and computed as their mean, and each gets its distance "
          "to the mean back. 'Rows sent' is the share that is left; it is counted, nothing is sent.",
      .caveat =
          "The paper uses 6 hashes on batches of many thousand rows; so few rows as here need fewer hashes to meet.",
      .num_seeds = 5,
      .arms = {arm("all rows", "no hashes", 0), arm("1 hash", "one hash of 64 values", 1),
               arm("2 hashes", "two hashes of 64 values", 2)},
      .claims = {{.text = "With one hash at most 35 % of the rows are sent.",
                  .metric = "rows_sent",
                  .arm = "1 hash",
                  .factor = 0.35},
                 {.text = "Its loss is within 1.5 % of that with all rows.",
                  .metric = "loss",
                  .arm = "1 hash",
                  .than = "all rows",
                  .factor = 1.015},
                 {.text = "With a second hash it loses less than with one.",
                  .metric = "loss",
                  .arm = "2 hashes",
                  .than = "1 hash"}}};
}

}  // namespace polyphony::pipelines
