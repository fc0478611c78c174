// SPDX-License-Identifier: Apache-2.0
// A global expert that stays as it is, and a small local one that a user's few samples teach where the global one errs.
// Shapes: N samples, D features of the global expert's trunk, C classes.
#pragma once
#include <torch/nn/module.h>

#include "core/nn/linear.h"

namespace polyphony::moe {

struct LocalExpertOptions {
  int64_t features = 0;      // D
  int64_t classes = 0;       // C
  int64_t gate_hidden = 16;  // width of the gate's hidden layer
};

// Modules: local (D -> C), gate_in (D -> hidden), gate_out (hidden -> 1).
// Source: Low-cost customisation (arXiv:1811.00056): global expert, local expert and gating network. That both read the
// global expert's features, and the sizes here, are our choice: the paper's were not found.
class LocalExpert : public torch::nn::Module {
 public:
  explicit LocalExpert(const LocalExpertOptions& options);  // throws ConfigError

  at::Tensor logits(const at::Tensor& features_ND);  // (N, C), the local expert's
  at::Tensor gate(const at::Tensor& features_ND);    // (N), logit of "the local one"
  // (N, C): of each sample the local logits where sigmoid(gate) > threshold, else the global ones, unchanged. Threshold
  // 1 or more: always global, below 0: always local.
  at::Tensor forward(const at::Tensor& features_ND, const at::Tensor& global_NC, double threshold);

 private:
  nn::Linear local_{nullptr}, gate_in_{nullptr}, gate_out_{nullptr};
};

// Cross entropy of the local expert, samples that the global one gets wrong counting error_weight times; divided by the
// sum of the weights. label_N: i64.
at::Tensor local_expert_loss(const at::Tensor& local_NC, const at::Tensor& global_NC, const at::Tensor& label_N,
                             double error_weight);

// f32 (N): 1 where the local expert is right and the global one wrong, else 0, so that the global one wins ties.
at::Tensor gate_targets(const at::Tensor& local_NC, const at::Tensor& global_NC, const at::Tensor& label_N);

// Binary cross entropy in which both classes weigh alike, however few samples one has.
at::Tensor gate_loss(const at::Tensor& gate_N, const at::Tensor& target_N);

// The lowest threshold at which the accuracy on these (generic) samples falls by at most `budget` (0.005: half a point)
// against the global expert's; 1 if none does.
double choose_threshold(const at::Tensor& gate_N, const at::Tensor& local_NC, const at::Tensor& global_NC,
                        const at::Tensor& label_N, double budget);

}  // namespace polyphony::moe
