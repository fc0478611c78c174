// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/predictor.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "moe/routers/selection.h"

namespace polyphony::moe {

Predictor::Predictor(const PredictorOptions& options) : decay_(options.decay) {
  const int64_t hidden = options.hidden > 0 ? options.hidden : std::max<int64_t>(1, options.dim / 2);
  in_ = register_parameter("in", gate_weight(hidden, options.dim));
  out_ = register_parameter("out", gate_weight(options.outputs, hidden));
  bias_ = register_parameter("bias", at::zeros({options.outputs}));
  threshold_ = register_buffer("threshold", at::full({options.outputs}, 0.5, at::kFloat));
}

at::Tensor Predictor::logits(const at::Tensor& x_TD) const {
  return gate_logits(at::silu(gate_logits(x_TD.detach(), in_)), out_) + bias_;
}

at::Tensor Predictor::chosen(const at::Tensor& logits_TE) const { return logits_TE.detach().sigmoid() > threshold_; }

void Predictor::follow(const at::Tensor& logits_TE, const at::Tensor& won_TE) {
  const int64_t T = logits_TE.size(0);
  if (decay_ == 0.0 || T == 0) return;
  const at::NoGradGuard no_grad;
  const auto falling_TE = std::get<0>(logits_TE.detach().sigmoid().sort(0, /*descending=*/true));
  const auto count_E = won_TE.sum(0);
  const auto last_1E = (count_E - 1).clamp_min(0).unsqueeze(0);
  const auto wanted_E = falling_TE.gather(0, last_1E).squeeze(0).to(threshold_.scalar_type());
  // Just below that prediction, since a token must lie above.
  const auto moved_E = decay_ * threshold_ + (1 - decay_) * (wanted_E - 1e-6);
  threshold_.copy_(at::where(count_E > 0, moved_E, threshold_));
}

}  // namespace polyphony::moe
