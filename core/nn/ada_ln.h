// SPDX-License-Identifier: Apache-2.0
// adaLN-Zero: a condition shifts, scales and gates the normalised activations of a block.
#pragma once
#include "core/nn/linear.h"

namespace polyphony::nn {

// x * (1 + scale) + shift, each (R, D) or broadcastable to x.
at::Tensor modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale);

// Each (R, D), in the order in which the weight's rows hold them.
struct BlockModulation {
  at::Tensor attention_shift;
  at::Tensor attention_scale;
  at::Tensor attention_gate;
  at::Tensor mlp_shift;
  at::Tensor mlp_scale;
  at::Tensor mlp_gate;
};

// condition (R, D) -> six modulations from linear (6D, D) of SiLU(condition), zero at first: the block starts as the
// identity. Source: Scalable Diffusion Models with Transformers (arXiv:2212.09748), section 3.2.
class AdaLnZero : public torch::nn::Module {
 public:
  explicit AdaLnZero(int64_t dim);
  BlockModulation forward(const at::Tensor& condition_RD);

 private:
  Linear linear_;
};

struct FinalModulation {
  at::Tensor shift;
  at::Tensor scale;
};

// The same before the output layer: two modulations from linear (2D, D), zero at first.
class FinalAdaLn : public torch::nn::Module {
 public:
  explicit FinalAdaLn(int64_t dim);
  FinalModulation forward(const at::Tensor& condition_RD);

 private:
  Linear linear_;
};

}  // namespace polyphony::nn
