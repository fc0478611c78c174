// SPDX-License-Identifier: Apache-2.0
#include "core/ops/gated_activation/gated_activation_cuda.h"

#include <ATen/ATen.h>

#include "core/ops/cuda_types.h"
#include "core/ops/gated_activation/gated_activation_kernels.h"

namespace polyphony::ops {

at::Tensor gated_activation_cuda(const at::Tensor& h_R2F, Activation activation) {
  const int64_t F = h_R2F.size(1) / 2;
  const at::Tensor a_RF = at::empty({h_R2F.size(0), F}, h_R2F.options());
  with_cuda_type(h_R2F, [&](auto zero) {
    using T = decltype(zero);
    launch(GatedActivationRows<T>{.h_R2F = h_R2F.const_data_ptr<T>(),
                                  .a_RF = a_RF.mutable_data_ptr<T>(),
                                  .num_rows = h_R2F.size(0),
                                  .F = F,
                                  .gelu = activation == Activation::gelu});
  });
  return a_RF;
}

GatedActivationGradients gated_activation_gradient_cuda(const at::Tensor& h_R2F, const at::Tensor& da_RF,
                                                        Activation activation, const RowWeights& weights) {
  const bool weighted = weights.weight_N.defined();
  GatedActivationGradients out{.h_R2F = at::empty_like(h_R2F), .a_RF = {}, .weight_N = {}};
  if (weighted) {
    out.a_RF = at::empty_like(da_RF);
    out.weight_N = at::zeros_like(weights.weight_N);
  }
  with_cuda_type(h_R2F, [&](auto zero) {
    using T = decltype(zero);
    launch(GatedActivationGradientRows<T>{.h_R2F = h_R2F.const_data_ptr<T>(),
                                          .da_RF = da_RF.const_data_ptr<T>(),
                                          .weight_N = weighted ? weights.weight_N.const_data_ptr<float>() : nullptr,
                                          .row_R = weighted ? weights.row_R.const_data_ptr<int64_t>() : nullptr,
                                          .dh_R2F = out.h_R2F.mutable_data_ptr<T>(),
                                          .weighted_a_RF = weighted ? out.a_RF.mutable_data_ptr<T>() : nullptr,
                                          .dweight_N = weighted ? out.weight_N.mutable_data_ptr<float>() : nullptr,
                                          .num_rows = h_R2F.size(0),
                                          .F = da_RF.size(1),
                                          .gelu = activation == Activation::gelu});
  });
  return out;
}

}  // namespace polyphony::ops
