// SPDX-License-Identifier: Apache-2.0
// A small network that learns from a token alone who would have won it in a competition of the whole batch, so that a
// trained model can route without looking at other tokens.
#pragma once
#include <torch/nn/module.h>

#include "moe/routing.h"

namespace polyphony::moe {

struct PredictorOptions {
  int64_t dim = 0;      // D
  int64_t outputs = 0;  // E, or 1
  int64_t hidden = 0;   // 0: D / 2
  double decay = 0.0;   // of the threshold's average; 0: the threshold stays 0.5
};

// logits = W2 silu(W1 x) + b of the detached token, so that it changes nothing but itself. Sources: MoMa
// (arXiv:2407.21770) 2.4: auxiliary routers, threshold 0.5; DiffMoE (arXiv:2503.14487) 3.3: capacity predictor, whose
// threshold per expert is a running average of the prediction at the last place that was taken.
class Predictor : public torch::nn::Module {
 public:
  explicit Predictor(const PredictorOptions& options);
  at::Tensor logits(const at::Tensor& x_TD) const;
  // bool (T, outputs): predicted above the threshold.
  at::Tensor chosen(const at::Tensor& logits_TE) const;
  // Moves the thresholds towards what would have chosen as many tokens as won_TE has.
  void follow(const at::Tensor& logits_TE, const at::Tensor& won_TE);

 private:
  double decay_;
  at::Tensor in_, out_, bias_, threshold_;
};

}  // namespace polyphony::moe
