// SPDX-License-Identifier: Apache-2.0
#include "core/nn/weights.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/linear/linear.h"

namespace polyphony::nn {
namespace {

constexpr auto kNoProduct = "[weights] quantised weights must be packed for products";

template <class State>
const State* as(const Weights& weights) {
  return std::get_if<State>(&weights);
}

}  // namespace

Weights packed(const Weights& weights, ops::WeightFormat format, bool gated) {
  if (const auto* tensor = as<at::Tensor>(weights)) return ops::pack_matrices(*tensor, format, gated);
  if (const auto* quantized = as<ops::QuantizedMatrices>(weights)) return ops::pack_matrices(*quantized, gated);
  return weights;
}

at::Tensor plain(const Weights& weights, bool bank) {
  if (const auto* tensor = as<at::Tensor>(weights)) return *tensor;
  const auto* quantized = as<ops::QuantizedMatrices>(weights);
  const auto w_ENK =
      quantized ? ops::dequantize_matrices(*quantized) : ops::unpack_matrices(std::get<ops::PackedMatrices>(weights));
  return bank ? w_ENK : w_ENK[0];
}

at::Tensor product(const at::Tensor& x, const Weights& weights_NK) {
  if (const auto* w = as<ops::PackedMatrices>(weights_NK)) return ops::packed_linear(x, *w);
  const auto* w_NK = as<at::Tensor>(weights_NK);
  check<ShapeError>(w_NK != nullptr, kNoProduct);
  return ops::linear(x.to(w_NK->scalar_type()), *w_NK).to(x.scalar_type());
}

at::Tensor experts_product(const at::Tensor& x_TD, const ops::DispatchPlan& plan, const at::Tensor& weight_N,
                           const Weights& w13_E2FD, const Weights& w2_EDF, ops::Activation activation) {
  const auto *packed13 = as<ops::PackedMatrices>(w13_E2FD), *packed2 = as<ops::PackedMatrices>(w2_EDF);
  if (packed13 && packed2) return ops::packed_experts(x_TD, plan, weight_N, {*packed13, *packed2}, nullptr, activation);
  const auto *w13 = as<at::Tensor>(w13_E2FD), *w2 = as<at::Tensor>(w2_EDF);
  check<ShapeError>(w13 && w2, kNoProduct);
  return ops::moe_experts(x_TD.to(w13->scalar_type()), plan, weight_N, *w13, *w2, std::nullopt, activation)
      .to(x_TD.scalar_type());
}

}  // namespace polyphony::nn
