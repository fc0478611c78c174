// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/tiny_lm.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include "moe/choice_bias.h"
#include "pipelines/study/fit.h"
#include "pipelines/train/auxiliary_losses.h"

namespace polyphony::pipelines {
namespace {

moe::BackboneConfig backbone_config(const TinyLmConfig& config) {
  moe::BackboneConfig out{.dim = config.dim,
                          .depth = config.depth,
                          .num_heads = config.num_heads,
                          .num_kv_heads = config.num_heads,
                          .rope_axis_dims = {config.dim / config.num_heads, 0, 0},
                          .moe = config.moe};
  out.moe.router.model_dim = config.dim;
  out.moe.modalities = {Modality::text};
  out.moe = moe::resolved(out.moe);
  return out;
}

at::Tensor text_modality(const LmBatch& batch) {
  return at::full_like(batch.ids_T, static_cast<int64_t>(Modality::text), at::kByte);
}

TokenSequence sequence_of(const at::Tensor& tokens_TD, const LmBatch& batch) {
  const auto order_T = at::arange(batch.length, at::kLong).repeat({batch.num_samples});
  TokenSequence out{.tokens_TD = tokens_TD,
                    .modality_T = text_modality(batch),
                    .position_TA = at::zeros({batch.ids_T.size(0), kPositionAxes}),
                    .span_T = order_T,
                    .token_id_T = batch.ids_T};
  out.position_TA.select(1, 0).copy_(order_T);
  for (int64_t b = 1; b <= batch.num_samples; ++b) out.sample_offsets.push_back(b * batch.length);
  return out;
}

at::Tensor sample_of_token(const LmBatch& batch) {
  return at::arange(batch.num_samples, at::kLong).repeat_interleave(batch.length);
}

}  // namespace

TinyLm::TinyLm(const TinyLmConfig& config) : config_(config) {
  const int64_t V = config.language.vocab_size();
  embedding_ = register_module("embedding", torch::nn::Embedding(V, config.dim));
  torch::nn::init::normal_(embedding_->weight, 0, 0.02);
  norm_ = register_module("norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = config.dim}));
  head_ = register_module("head", nn::Linear(torch::nn::LinearOptions(config.dim, V).bias(false)));
  // Last, so that the rest starts alike in all arms of a seed.
  backbone_ = register_module("backbone", std::make_shared<moe::Backbone>(backbone_config(config)));
}

LmOutput TinyLm::forward(const LmBatch& batch, int64_t step) {
  auto trunk = backbone_->forward(sequence_of(embedding_->forward(batch.ids_T), batch), {}, {.step = step});
  return {.logits_TV = head_->forward(norm_->forward(trunk.hidden_TD)), .routings = std::move(trunk.routings)};
}

at::Tensor lm_loss(const LmOutput& output, const LmBatch& batch) {
  return at::cross_entropy_loss(output.logits_TV, batch.targets_T);
}

int64_t num_steps(const TinyLmArm& arm, const StudyRun& run) { return run.quick ? arm.quick_steps : arm.num_steps; }

TrainedLm train_lm(const TinyLmArm& arm, const StudyRun& run) {
  TrainedLm trained{.model = std::make_shared<TinyLm>(arm.model), .num_steps = num_steps(arm, run)};
  auto& model = *trained.model;
  const auto layers = moe_layers(model.backbone()->blocks());
  const FitPlan plan{.steps = trained.num_steps, .learning_rate = arm.learning_rate, .weight_decay = arm.weight_decay};
  fit(model, run, plan, [&](int64_t step) {
    const auto batch = training_batch(arm.model.language, run.seed, step, arm.batch);
    const auto output = model.forward(batch, step);
    for (size_t layer = 0; layer < layers.size(); ++layer) moe::follow_load(*layers[layer], output.routings[layer]);
    auto loss = lm_loss(output, batch);
    const auto auxiliary = auxiliary_losses(layers, output.routings,
                                            {.modality_T = text_modality(batch), .sample_T = sample_of_token(batch)});
    if (auxiliary.defined()) loss = loss + auxiliary;
    if (arm.additional_loss) {
      const auto more = arm.additional_loss(
          {.model = model, .batch = batch, .output = output, .step = step, .num_steps = trained.num_steps});
      if (more.defined()) loss = loss + more;
    }
    return loss;
  });
  return trained;
}

StudyMetrics run_lm(const TinyLmArm& arm, const StudyRun& run) {
  return metrics_of(evaluate_lm(train_lm(arm, run), run));
}

}  // namespace polyphony::pipelines
