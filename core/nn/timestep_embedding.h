// SPDX-License-Identifier: Apache-2.0
// Sinusoids of a diffusion time, and the small network that turns them into a condition.
#pragma once
#include "core/nn/linear.h"

namespace polyphony::nn {

struct TimestepOptions {
  int64_t dim = 256;         // number of sinusoids
  bool cos_first = true;     // [cos | sin] (DiT) or [sin | cos] (DDPM)
  int64_t period_shift = 0;  // frequency i is max_period^(-i / (dim/2 - period_shift)): 0 in DiT, 1 in DDPM
  double max_period = 10000.0;
  double scale = 1.0;  // multiplies the time first; 1000 for times in [0, 1]
};

// t_B (B) of any float dtype -> f32 (B, dim); an odd dim ends in a zero column.
// Source: Denoising Diffusion Probabilistic Models (arXiv:2006.11239), Scalable Diffusion Models with Transformers
// (arXiv:2212.09748).
at::Tensor timestep_embedding(const at::Tensor& t_B, const TimestepOptions& options = {});

// t_B (B) -> (B, D): sinusoids, linear_1, SiLU, linear_2. In the dtype of the weights.
class TimestepEmbedder : public torch::nn::Module {
 public:
  explicit TimestepEmbedder(int64_t dim, const TimestepOptions& options = {});
  at::Tensor forward(const at::Tensor& t_B);

 private:
  TimestepOptions options_;
  Linear linear_1_;
  Linear linear_2_;
};

}  // namespace polyphony::nn
