// SPDX-License-Identifier: Apache-2.0
// Does a router that takes experts until their probabilities pass p spend more of them on hard tokens?
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

StudyArm arm(const std::string& name, const std::string& what, const moe::MoEConfig& moe) {
  const TinyLmArm lm{.model = {.moe = moe}, .num_steps = 1500};
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) { return run_lm_by_difficulty(lm, run); }};
}

moe::MoEConfig top_p(std::vector<moe::LossConfig> losses) {
  auto moe = top_2_of_8();
  moe.router = {.name = "top_p", .num_experts = 8, .top_p = 0.7};
  moe.losses = std::move(losses);
  return moe;
}

}  // namespace

Study top_p_study() {
  const moe::LossConfig balance{.name = "expert_balance", .weight = 0.01, .unit = "token"};
  const moe::LossConfig entropy{.name = "router_entropy", .weight = 0.001};
  return {
      .name = "top_p",
      .title = "More experts for harder tokens",
      .source = "Dynamic routing (arXiv:2403.07652), section 3",
      .setting =
          "A synthetic language whose easy tokens copy the word before and whose hard tokens add two words; 2 layers "
          "of width 64 with 8 experts of width 64, 1,500 steps of 512 tokens. 'Hard minus easy' is how many more "
          "experts a token gets before a hard target than before an easy one.",
      .caveat =
          "Easy and hard questions have a marker of their own here: a router need not judge difficulty, it can "
          "learn the markers.",
      .num_seeds = 5,
      .arms = {arm("top-2", "the best 2 experts of every token", top_2_of_8()),
               arm("top-p", "experts until their probabilities pass 0.7, with an entropy loss of weight 0.001",
                   top_p({balance, entropy})),
               arm("no entropy loss", "the same without the entropy loss", top_p({balance}))},
      .claims = {{.text = "Top-p gives more experts to a token before a hard target than to one before an easy target.",
                  .metric = "hard_minus_easy",
                  .arm = "top-p",
                  .rule = ClaimRule::higher,
                  .factor = 0.0},
                 {.text = "It uses at most as many experts a token as top-2.",
                  .metric = "experts_per_token",
                  .arm = "top-p",
                  .than = "top-2"},
                 {.text = "It loses no more than top-2.",
                  .metric = "loss",
                  .arm = "top-p",
                  .than = "top-2",
                  .rule = ClaimRule::not_worse},
                 {.text = "Without the entropy loss the router takes more experts.",
                  .metric = "experts_per_token",
                  .arm = "no entropy loss",
                  .than = "top-p",
                  .rule = ClaimRule::higher}}};
}

}  // namespace polyphony::pipelines
