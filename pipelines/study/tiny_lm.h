// SPDX-License-Identifier: Apache-2.0
// The small language model that many studies train: embedding, causal MoE trunk, head.
// Shapes: T tokens of a batch, V vocabulary.
#pragma once
#include <torch/nn/modules/embedding.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/nn/linear.h"
#include "core/nn/rms_norm.h"
#include "moe/backbone/backbone.h"
#include "pipelines/study/study.h"
#include "pipelines/study/tiny_language.h"

namespace polyphony::pipelines {

struct TinyLmConfig {
  int64_t dim = 64;
  int64_t depth = 2;
  int64_t num_heads = 4;
  LanguageConfig language = {};
  // Its router's model_dim is filled in. A dense model is one expert, chosen always.
  moe::MoEConfig moe = {};
};

struct LmOutput {
  at::Tensor logits_TV = {};
  std::vector<moe::Routing> routings = {};  // one a layer
};

class TinyLm : public torch::nn::Module {
 public:
  explicit TinyLm(const TinyLmConfig& config);
  // step: of training, for routers that follow a schedule.
  LmOutput forward(const LmBatch& batch, int64_t step);

  const TinyLmConfig& config() const { return config_; }
  const std::shared_ptr<moe::Backbone>& backbone() const { return backbone_; }

 private:
  TinyLmConfig config_;
  torch::nn::Embedding embedding_{nullptr};
  std::shared_ptr<nn::RmsNorm> norm_;
  nn::Linear head_{nullptr};
  std::shared_ptr<moe::Backbone> backbone_;
};

// f32 scalar: mean cross entropy, nats a token.
at::Tensor lm_loss(const LmOutput& output, const LmBatch& batch);

// What a hook may look at in each step, before the step's gradient is taken.
struct LmStep {
  TinyLm& model;
  const LmBatch& batch;
  const LmOutput& output;
  int64_t step = 0;
  int64_t num_steps = 0;
};

// One arm of a study of language models.
struct TinyLmArm {
  TinyLmConfig model = {};
  BatchSize batch = {};
  int64_t num_steps = 1200;
  int64_t quick_steps = 10;     // of a quick run
  double learning_rate = 3e-3;  // peak, see FitPlan
  double weight_decay = 0.01;
  // A scalar that is added to the loss; an undefined tensor adds nothing. Also the place to measure something on the
  // way. May run the model a second time.
  std::function<at::Tensor(const LmStep&)> additional_loss = {};
};

int64_t num_steps(const TinyLmArm& arm, const StudyRun& run);

struct TrainedLm {
  std::shared_ptr<TinyLm> model;
  int64_t num_steps = 0;
};

// Trains by AdamW on the sequences of run.seed: cross entropy, the losses of [moe] and the arm's own. Choice biases
// follow the load. Throws NonFiniteError naming the step.
TrainedLm train_lm(const TinyLmArm& arm, const StudyRun& run);

// What the model does on the held-out sequences. Losses in nats a token. Figures of experts are means over the layers.
struct LmScores {
  double loss = 0, loss_plain = 0, loss_easy = 0, loss_hard = 0;
  double experts_per_token = 0;  // rows of routed experts that are computed; null experts have no row
  double expert_calls = 0;       // rows a token of those experts whose rows cost something
  double calls_easy = 0;         // the same over the tokens before an easy target,
  double calls_hard = 0;         // and before a hard one
  double max_load = 0;           // rows of the fullest expert against the mean of all: 1 is even
  double active = 0;             // multiplications a token in routed and shared experts, all layers together
};

// Over 16,384 held-out tokens (1,024 in a quick run), in the model's way outside training, as it would serve.
LmScores evaluate_lm(const TrainedLm& trained, const StudyRun& run);
// Every field under its name.
StudyMetrics metrics_of(const LmScores& scores);

// Trains, evaluates: the whole run of an arm that has nothing more to say.
StudyMetrics run_lm(const TinyLmArm& arm, const StudyRun& run);

}  // namespace polyphony::pipelines
