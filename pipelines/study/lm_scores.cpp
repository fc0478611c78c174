// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "pipelines/study/tiny_lm.h"

namespace polyphony::pipelines {
namespace {

// Sums of a value of each token, by the kind of its target.
at::Tensor sum_by_kind(const at::Tensor& value_T, const at::Tensor& kind_T) {
  return at::bincount(kind_T, value_T.to(at::kDouble), kTokenKinds);
}

// Sums over the tokens of all batches, f64.
struct LayerSums {
  at::Tensor rows_E;   // rows computed, by expert
  at::Tensor calls_K;  // rows that cost something, by kind of the token
  double cost = 0;     // rows, each by its cost
};

// Rows of null experts and dropped rows are not computed.
at::Tensor computed_rows(const moe::Routing& routing) {
  auto real_N = routing.expert_N < routing.num_experts;
  if (routing.kept_N.defined()) real_N = real_N.logical_and(routing.kept_N);
  return at::nonzero(real_N).squeeze(1);
}

void add_layer(LayerSums& sums, const moe::Routing& routing, const at::Tensor& cost_E, const at::Tensor& kind_T) {
  const auto rows = computed_rows(routing);
  const auto expert_N = routing.expert_N.index_select(0, rows);
  const auto cost_N = cost_E.index_select(0, expert_N);
  const auto calls_T =
      at::bincount(routing.token_N.index_select(0, rows), (cost_N > 0).to(at::kDouble), kind_T.size(0));
  sums.rows_E += at::bincount(expert_N, {}, routing.num_experts);
  sums.calls_K += sum_by_kind(calls_T, kind_T);
  sums.cost += cost_N.sum().item<double>();
}

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

}  // namespace

LmScores evaluate_lm(const TrainedLm& trained, const StudyRun& run) {
  const c10::InferenceMode inference;
  auto& model = *trained.model;
  model.eval();
  const auto& blocks = model.backbone()->blocks();
  std::vector<LayerSums> layers;
  for (const auto& block : blocks)
    layers.push_back({.rows_E = at::zeros({block->moe()->config().router.num_experts}, at::kDouble),
                      .calls_K = at::zeros({kTokenKinds}, at::kDouble)});
  auto tokens_K = at::zeros({kTokenKinds}, at::kDouble), loss_K = at::zeros({kTokenKinds}, at::kDouble);

  const int64_t num_batches = run.quick ? 1 : 16;
  for (int64_t i = 0; i < num_batches; ++i) {
    const auto batch = held_out_batch(model.config().language, i, {.num_samples = 32, .length = 32});
    const auto output = model.forward(batch, trained.num_steps);
    const auto loss_T = at::cross_entropy_loss(output.logits_TV, batch.targets_T, {}, at::Reduction::None);
    tokens_K += sum_by_kind(at::ones_like(loss_T), batch.kind_T);
    loss_K += sum_by_kind(loss_T, batch.kind_T);
    for (size_t l = 0; l < layers.size(); ++l)
      add_layer(layers[l], output.routings[l], blocks[l]->moe()->experts()->cost_E(), batch.kind_T);
  }
  model.train();

  const auto of_kind = [](const at::Tensor& sum_K, TokenKind kind) {
    return sum_K[static_cast<int64_t>(kind)].item<double>();
  };
  const auto mean_loss = [&](TokenKind kind) { return ratio(of_kind(loss_K, kind), of_kind(tokens_K, kind)); };
  const double T = tokens_K.sum().item<double>();
  const auto L = static_cast<double>(layers.size());
  LmScores scores{.loss = loss_K.sum().item<double>() / T,
                  .loss_plain = mean_loss(TokenKind::plain),
                  .loss_easy = mean_loss(TokenKind::easy),
                  .loss_hard = mean_loss(TokenKind::hard)};
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto& sums = layers[l];
    const auto& config = blocks[l]->moe()->config();
    const auto calls = [&](TokenKind kind) { return ratio(of_kind(sums.calls_K, kind), of_kind(tokens_K, kind)) / L; };
    const double rows = sums.rows_E.sum().item<double>();
    scores.experts_per_token += rows / T / L;
    scores.expert_calls += sums.calls_K.sum().item<double>() / T / L;
    scores.calls_easy += calls(TokenKind::easy);
    scores.calls_hard += calls(TokenKind::hard);
    scores.max_load += ratio(sums.rows_E.max().item<double>() * static_cast<double>(sums.rows_E.size(0)), rows) / L;
    const auto width = std::max(config.experts.expert_hidden, config.experts.expert_hidden_end);
    scores.active += 3.0 * static_cast<double>(model.config().dim) *
                     (sums.cost / T * static_cast<double>(width) + static_cast<double>(config.shared_hidden));
  }
  return scores;
}

StudyMetrics metrics_of(const LmScores& s) {
  return {{"loss", s.loss},
          {"loss_plain", s.loss_plain},
          {"loss_easy", s.loss_easy},
          {"loss_hard", s.loss_hard},
          {"experts_per_token", s.experts_per_token},
          {"expert_calls", s.expert_calls},
          {"calls_easy", s.calls_easy},
          {"calls_hard", s.calls_hard},
          {"max_load", s.max_load},
          {"active", s.active}};
}

}  // namespace polyphony::pipelines
