// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/packed_model.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/nn/layer_norm.h"
#include "core/ops/ada_norm/ada_norm.h"
#include "core/ops/parallel.h"
#include "moe/dispatch.h"
#include "moe/moe_layer.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kModulations = 6;  // of a block, in the order of nn::BlockModulation
constexpr double kHeadNormEps = nn::LayerNormOptions{}.eps;

// The parameters of a module, given up one by one.
class Given {
 public:
  explicit Given(torch::nn::Module& model) : parameters_(model.named_parameters()) {}

  at::Tensor value(const std::string& name) const {
    const auto* found = parameters_.find(name);
    return found ? found->detach().to(at::kFloat) : at::Tensor();
  }
  ops::PackedMatrices packed(const std::string& name, bool gated = false) {
    auto& weight = parameters_[name];
    auto out = ops::pack_matrices(weight.detach().contiguous(), ops::WeightFormat::bf16, gated);
    leave_empty(weight);
    return out;
  }
  // One below the other.
  ops::PackedMatrices packed(const std::vector<std::string>& names) {
    std::vector<at::Tensor> weights;
    for (const auto& name : names) weights.push_back(parameters_[name].detach());
    auto out = ops::pack_matrices(at::cat(weights), ops::WeightFormat::bf16);
    for (const auto& name : names) leave_empty(parameters_[name]);
    return out;
  }
  bool has(const std::string& name) const { return parameters_.contains(name); }

 private:
  static void leave_empty(at::Tensor& weight) { weight.set_data(at::empty({0}, weight.options())); }

  torch::OrderedDict<std::string, at::Tensor> parameters_;
};

}  // namespace

PackedDitMoe::PackedDitMoe(const DitMoeConfig& config, torch::nn::Module& model) : config_(config) {
  const at::NoGradGuard no_grad;
  Given given(model);
  const auto modules = model.named_modules();
  embedder_ = given.packed("x_embedder.weight");
  embedder_bias_ = given.value("x_embedder.bias");
  position_SD_ = model.named_buffers()["pos_embed"].squeeze(0).to(at::kFloat);
  allowed_ME_ = moe::allowed_table(moe::resolved(config.moe()).groups, config.moe().modalities);
  std::vector<std::string> modulations;
  for (int64_t i = 0; i < config.depth; ++i) {
    const auto block = join("blocks.", i, ".");
    modulations.push_back(block + "ada_ln.linear");
    Layer layer{
        .qkv = given.packed(block + "attention.qkv.weight"),
        .out = given.packed(block + "attention.out.weight"),
        .qkv_bias = given.value(block + "attention.qkv.bias"),
        .out_bias = given.value(block + "attention.out.bias"),
        .q_norm_weight = given.value(block + "attention.q_norm.weight"),
        .q_norm_bias = given.value(block + "attention.q_norm.bias"),
        .k_norm_weight = given.value(block + "attention.k_norm.weight"),
        .k_norm_bias = given.value(block + "attention.k_norm.bias"),
        .router = std::dynamic_pointer_cast<moe::Router>(modules[block + "moe.gate"]),
        .experts = {.w13 = given.packed(block + "moe.experts.w13", true), .w2 = given.packed(block + "moe.experts.w2")},
        .shared = {}};
    if (given.has(block + "moe.shared_experts.w13"))
      layer.shared = ops::PackedExperts{.w13 = given.packed(block + "moe.shared_experts.w13", true),
                                        .w2 = given.packed(block + "moe.shared_experts.w2")};
    layers_.push_back(std::move(layer));
  }
  modulations.emplace_back("final_ada_ln.linear");
  std::vector<std::string> weights;
  std::vector<at::Tensor> biases;
  for (const auto& name : modulations) {
    weights.push_back(name + ".weight");
    biases.push_back(given.value(name + ".bias"));
  }
  modulations_ = given.packed(weights);
  modulations_bias_ = at::cat(biases);
  final_ = given.packed("final_linear.weight");
  final_bias_ = given.value("final_linear.bias");
}

at::Tensor PackedDitMoe::modulations(const at::Tensor& condition_BD) const {
  return ops::packed_linear(at::silu(condition_BD.to(at::kFloat)), modulations_, modulations_bias_);
}

at::Tensor PackedDitMoe::attend(const Layer& layer, const at::Tensor& x_TD, int64_t samples) const {
  const int64_t T = x_TD.size(0), H = config_.num_heads, C = config_.hidden_size / H;
  const auto parts = ops::packed_linear(x_TD, layer.qkv, layer.qkv_bias)
                         .view({samples, T / samples, 3, H, C})
                         .permute({2, 0, 3, 1, 4})
                         .unbind(0);
  const auto normed = [](const at::Tensor& x, const at::Tensor& weight_C, const at::Tensor& bias_C) {
    return weight_C.defined() ? nn::layer_norm(x, weight_C, bias_C, kHeadNormEps) : x;
  };
  const auto mixed_BHSC =
      at::scaled_dot_product_attention(normed(parts[0], layer.q_norm_weight, layer.q_norm_bias),
                                       normed(parts[1], layer.k_norm_weight, layer.k_norm_bias), parts[2]);
  return ops::packed_linear(mixed_BHSC.transpose(1, 2).reshape({T, H * C}), layer.out, layer.out_bias);
}

// On one thread: LibTorch's product of the gate would depend on the number of threads.
moe::Routing PackedDitMoe::route(size_t layer, const at::Tensor& x_TD, int64_t samples) const {
  const int64_t T = x_TD.size(0);
  const moe::RoutingContext context{.x_TD = x_TD,
                                    .modality_T = at::full({T}, static_cast<int64_t>(Modality::latent), at::kByte),
                                    .allowed_ME = allowed_ME_,
                                    .sample_T = at::arange(samples, at::kLong).repeat_interleave(T / samples),
                                    .layer = static_cast<int64_t>(layer)};
  moe::Routing routing;
  ops::for_each_task(1, [&](int64_t) { routing = layers_[layer].router->route(context); });
  return routing;
}

PackedDitMoe::Output PackedDitMoe::forward(const at::Tensor& patches_TF, const at::Tensor& modulation_BM) const {
  const int64_t B = modulation_BM.size(0), D = config_.hidden_size;
  const auto part = [&](size_t layer, int64_t i) {
    return modulation_BM.narrow(1, (static_cast<int64_t>(layer) * kModulations + i) * D, D);
  };
  Output out;
  ops::AdaNormInput seam{
      .x_TD = (ops::packed_linear(patches_TF, embedder_, embedder_bias_).view({B, -1, D}) + position_SD_).flatten(0, 1),
      .eps = config_.norm_eps};
  const auto modulated = [&](size_t layer, int64_t shift, at::ScalarType dtype) {
    seam.shift_BD = part(layer, shift);
    seam.scale_BD = part(layer, shift + 1);
    return ops::ada_norm_(seam, dtype);
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    seam.update_TD = attend(layer, modulated(i, 0, at::kBFloat16), B);
    seam.gate_BD = part(i, 2);
    const auto moe_in_TD = modulated(i, 3, at::kFloat);
    auto routing = route(i, moe_in_TD, B);
    seam.update_TD = ops::packed_experts(moe_in_TD, moe::plan_dispatch(routing), routing.weight_N, layer.experts,
                                         layer.shared.w13.count > 0 ? &layer.shared : nullptr);
    seam.gate_BD = part(i, 5);
    out.routings.push_back(std::move(routing));
  }
  out.patches_TF = ops::packed_linear(modulated(layers_.size(), 0, at::kFloat), final_, final_bias_);
  return out;
}

}  // namespace polyphony::pipelines
