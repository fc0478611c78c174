// SPDX-License-Identifier: Apache-2.0
// Many small experts and a shared one against few large experts and against no experts, all of equal active size.
#include "pipelines/study/lm_arms.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kSteps = 1500;

// Each of 8 experts in 4 parts, one part of which all tokens share. The 7 weights sum to 3.5, so that a part weighs on
// average what the whole expert weighs in top-2.
moe::MoEConfig fine_grained() {
  auto moe = top_2_of_8();
  moe.router.num_experts = 31;
  moe.router.experts_per_token = 7;
  moe.router.scale = 3.5;
  moe.experts.expert_hidden /= 4;
  moe.shared_hidden = moe.experts.expert_hidden;
  return moe;
}

}  // namespace

Study fine_grained_study() {
  return {.name = "fine_grained",
          .title = "Fine-grained experts and a shared one",
          .source = "DeepSeekMoE (arXiv:2401.06066), section 3",
          .setting =
              "A synthetic language, 2 layers of width 64, 1,500 steps of 512 tokens. Each token passes experts of "
              "128 hidden units in all, in every arm; both mixtures hold 512.",
          .caveat =
              "The paper's gap is small (0.06 nats at 2 billion parameters): at this size only its sign is asked for.",
          .num_seeds = 5,
          .arms = {lm_arm("dense", "one MLP of width 128", dense_mlp(128), kSteps),
                   lm_arm("top-2", "2 of 8 experts of width 64", top_2_of_8(), kSteps),
                   lm_arm("fine-grained", "7 of 31 experts of width 16, and one of width 16 that all tokens share",
                          fine_grained(), kSteps)},
          .claims = {{.text = "Fine-grained experts with a shared one lose less than top-2 of equal active size.",
                      .metric = "loss",
                      .arm = "fine-grained",
                      .than = "top-2"},
                     {.text = "Top-2 loses less than a dense model of equal active size.",
                      .metric = "loss",
                      .arm = "top-2",
                      .than = "dense"},
                     {.text = "Fine-grained experts lose less than a dense model of equal active size.",
                      .metric = "loss",
                      .arm = "fine-grained",
                      .than = "dense"}}};
}

}  // namespace polyphony::pipelines
