// SPDX-License-Identifier: Apache-2.0
// The gated activation by CUDA kernels. Nothing is checked, nothing waits for the GPU.
#pragma once
#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::ops {

at::Tensor gated_activation_cuda(const at::Tensor& h_R2F, Activation activation);

// The routing weights that stand behind the activation in an expert: row r's is weight_N[row_R[r]], f32.
struct RowWeights {
  at::Tensor weight_N;
  at::Tensor row_R;
};

// The gradient of h for w * da; and with weights a_RF = w * act, and the gradient of the weights <da, act>.
struct GatedActivationGradients {
  at::Tensor h_R2F;
  at::Tensor a_RF;      // undefined without weights
  at::Tensor weight_N;  // undefined without weights; 0 for weights of no row
};
GatedActivationGradients gated_activation_gradient_cuda(const at::Tensor& h_R2F, const at::Tensor& da_RF,
                                                        Activation activation, const RowWeights& weights = {});

}  // namespace polyphony::ops
