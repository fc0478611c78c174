// SPDX-License-Identifier: Apache-2.0
// What the studies of language models share: the layer that they all change, and looks at a trained model.
#pragma once
#include <functional>
#include <string>

#include "pipelines/study/tiny_lm.h"

namespace polyphony::pipelines {

// 8 experts of width 64, of which a token gets the best 2 with weights that sum to 1, and a balance loss.
moe::MoEConfig top_2_of_8();
// One MLP that every token passes: the dense model.
moe::MoEConfig dense_mlp(int64_t hidden);

// The arm trains such a model for `num_steps` and measures what evaluate_lm does.
StudyArm lm_arm(const std::string& name, const std::string& what, const moe::MoEConfig& moe, int64_t num_steps);

// run_lm and "hard_minus_easy": the expert calls of tokens before a hard target minus those before an easy one.
StudyMetrics run_lm_by_difficulty(const TinyLmArm& arm, const StudyRun& run);

// Calls `look` on what the model answers to held-out text, outside training and without gradients: the sequences that
// evaluate_lm takes.
using LmLook = std::function<void(const LmBatch& batch, const LmOutput& output)>;
void look_at_held_out(const TrainedLm& trained, const StudyRun& run, const LmLook& look);

// The same weights and buffers in a model whose router has other settings, but the same parameters.
TrainedLm with_router(const TrainedLm& trained, const std::function<void(moe::RouterConfig&)>& change);

}  // namespace polyphony::pipelines
