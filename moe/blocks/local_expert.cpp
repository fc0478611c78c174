// SPDX-License-Identifier: Apache-2.0
#include "moe/blocks/local_expert.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::moe {
namespace {

at::Tensor right(const at::Tensor& logits_NC, const at::Tensor& label_N) {
  check<ShapeError>(logits_NC.dim() == 2 && label_N.dim() == 1 && logits_NC.size(0) == label_N.size(0),
                    "[local_expert] logits must be (N, C) and labels (N), got ", logits_NC.sizes(), " and ",
                    label_N.sizes());
  return logits_NC.argmax(1) == label_N;
}

}  // namespace

LocalExpert::LocalExpert(const LocalExpertOptions& o) {
  check<ConfigError>(o.features > 0 && o.classes > 0 && o.gate_hidden > 0,
                     "[local_expert] features, classes and gate_hidden must be positive, got ", o.features, ", ",
                     o.classes, " and ", o.gate_hidden);
  local_ = register_module("local", nn::Linear(o.features, o.classes));
  gate_in_ = register_module("gate_in", nn::Linear(o.features, o.gate_hidden));
  gate_out_ = register_module("gate_out", nn::Linear(o.gate_hidden, 1));
}

at::Tensor LocalExpert::logits(const at::Tensor& features_ND) { return local_->forward(features_ND); }

at::Tensor LocalExpert::gate(const at::Tensor& features_ND) {
  return gate_out_->forward(at::silu(gate_in_->forward(features_ND))).squeeze(1);
}

at::Tensor LocalExpert::forward(const at::Tensor& features_ND, const at::Tensor& global_NC, double threshold) {
  const auto local_N1 = (gate(features_ND).sigmoid() > threshold).unsqueeze(1);
  return at::where(local_N1, logits(features_ND), global_NC);
}

at::Tensor local_expert_loss(const at::Tensor& local_NC, const at::Tensor& global_NC, const at::Tensor& label_N,
                             double error_weight) {
  const auto weight_N = at::where(right(global_NC, label_N), 1.0, error_weight).to(local_NC.scalar_type());
  const auto loss_N = at::cross_entropy_loss(local_NC, label_N, {}, at::Reduction::None);
  return (weight_N * loss_N).sum() / weight_N.sum().clamp_min(1e-12);
}

at::Tensor gate_targets(const at::Tensor& local_NC, const at::Tensor& global_NC, const at::Tensor& label_N) {
  return (right(local_NC, label_N) & ~right(global_NC, label_N)).to(at::kFloat);
}

at::Tensor gate_loss(const at::Tensor& gate_N, const at::Tensor& target_N) {
  const auto ones = target_N.sum(), zeros = target_N.numel() - ones;
  const auto weight_N = target_N / ones.clamp_min(1) + (1 - target_N) / zeros.clamp_min(1);
  const auto sum = at::binary_cross_entropy_with_logits(gate_N, target_N, weight_N, {}, at::Reduction::Sum);
  return sum / weight_N.sum().clamp_min(1e-12);
}

double choose_threshold(const at::Tensor& gate_N, const at::Tensor& local_NC, const at::Tensor& global_NC,
                        const at::Tensor& label_N, double budget) {
  const auto gate = gate_N.detach().sigmoid();
  const auto local = right(local_NC, label_N), global = right(global_NC, label_N);
  const double least = global.to(at::kDouble).mean().item<double>() - budget;
  const auto holds = [&](double threshold) {
    return at::where(gate > threshold, local, global).to(at::kDouble).mean().item<double>() >= least;
  };
  if (holds(-1)) return -1;
  const auto sorted = std::get<0>(gate.to(at::kDouble).sort());
  for (int64_t n = 0; n < sorted.size(0); ++n)
    if (const double threshold = sorted[n].item<double>(); holds(threshold)) return threshold;
  return 1;
}

}  // namespace polyphony::moe
