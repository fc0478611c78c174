// SPDX-License-Identifier: Apache-2.0
// Do experts that do nothing save a tenth of the calls of true experts at equal loss?
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

StudyArm arm(const std::string& name, const std::string& what, const moe::MoEConfig& moe) {
  const TinyLmArm lm{.model = {.moe = moe}, .num_steps = 1500};
  return {.name = name, .what = what, .run = [lm](const StudyRun& run) { return run_lm_by_difficulty(lm, run); }};
}

// In balance 3 x 8 / (8 + 6) = 1.71 true experts a token.
moe::MoEConfig with_null_experts() {
  auto moe = top_2_of_8();
  moe.router = {.name = "null_experts", .num_experts = 8, .experts_per_token = 3, .num_null = 6};
  moe.losses = {{.name = "null_balance", .weight = 0.01}};
  return moe;
}

}  // namespace

Study null_experts_study() {
  return {
      .name = "null_experts",
      .title = "Null experts: fewer calls at equal loss",
      .source = "AdaMoE (arXiv:2406.13233), section 3",
      .setting =
          "A synthetic language whose easy tokens copy the word before and whose hard tokens add two words; 2 layers "
          "of width 64 with 8 experts of width 64, 1,500 steps of 512 tokens. Only true experts count as computed.",
      .caveat = "The paper retrofits a large trained model; here all is trained from the start.",
      .num_seeds = 5,
      .arms = {arm("top-2", "the best 2 of 8 experts", top_2_of_8()),
               arm("null experts", "the best 3 of 8 true experts and 6 that give zero and cost nothing",
                   with_null_experts())},
      .claims = {{.text = "Null experts save at least a tenth of the expert calls of top-2.",
                  .metric = "expert_calls",
                  .arm = "null experts",
                  .than = "top-2",
                  .factor = 0.9},
                 {.text = "The loss is not worse.",
                  .metric = "loss",
                  .arm = "null experts",
                  .than = "top-2",
                  .rule = ClaimRule::not_worse},
                 {.text = "A token before a hard target gets more true experts than one before an easy target.",
                  .metric = "hard_minus_easy",
                  .arm = "null experts",
                  .rule = ClaimRule::higher,
                  .factor = 0.0}}};
}

}  // namespace polyphony::pipelines
