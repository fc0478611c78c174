// SPDX-License-Identifier: Apache-2.0
// The forward pass of a DiT-MoE for inference on a CPU: weights packed once in the order of the kernels.
// Shapes: B samples of S patches, T = B * S, D width, M values of all modulations of a sample.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <vector>

#include "core/ops/packed_product/packed_product.h"
#include "moe/router.h"
#include "pipelines/dit_moe/config.h"

namespace polyphony::pipelines {

// Products in bf16 with sums in f32; the stream, its norms, the routers and the modulations are f32. The same bits for
// any number of threads, and a sample's do not depend on its company.
class PackedDitMoe {
 public:
  // Takes the weights of `model`, a DitMoe of this config, one after another: what is packed is left empty there.
  PackedDitMoe(const DitMoeConfig& config, torch::nn::Module& model);

  // condition (B, D) -> f32 (B, M): the six modulations of each block and the final two.
  at::Tensor modulations(const at::Tensor& condition_BD) const;

  struct Output {
    at::Tensor patches_TF;  // f32
    std::vector<moe::Routing> routings;
  };
  // patches f32 (T, C * P * P).
  Output forward(const at::Tensor& patches_TF, const at::Tensor& modulation_BM) const;

 private:
  struct Layer {
    ops::PackedMatrices qkv, out;
    at::Tensor qkv_bias, out_bias;
    at::Tensor q_norm_weight, q_norm_bias, k_norm_weight, k_norm_bias;  // undefined: no norms
    std::shared_ptr<moe::Router> router;
    ops::PackedExperts experts, shared;  // shared.w13.count 0: none
  };
  at::Tensor attend(const Layer& layer, const at::Tensor& x_TD, int64_t samples) const;
  moe::Routing route(size_t layer, const at::Tensor& x_TD, int64_t samples) const;

  DitMoeConfig config_;
  ops::PackedMatrices embedder_, modulations_, final_;
  at::Tensor embedder_bias_, modulations_bias_, final_bias_, position_SD_, allowed_ME_;
  std::vector<Layer> layers_;
};

}  // namespace polyphony::pipelines
