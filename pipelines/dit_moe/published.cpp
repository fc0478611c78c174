// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/published.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <array>
#include <utility>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

using Rename = std::pair<std::string_view, std::string_view>;

constexpr std::array<Rename, 5> kOutside = {{{"x_embedder.", "x_embedder.proj."},
                                             {"t_embedder.linear_1.", "t_embedder.mlp.0."},
                                             {"t_embedder.linear_2.", "t_embedder.mlp.2."},
                                             {"final_ada_ln.linear.", "final_layer.adaLN_modulation.1."},
                                             {"final_linear.", "final_layer.linear."}}};
constexpr std::array<Rename, 3> kTimmBlock = {
    {{"attention.qkv.", "attn.qkv."}, {"attention.out.", "attn.proj."}, {"ada_ln.linear.", "adaLN_modulation.1."}}};
constexpr std::array<Rename, 5> kNormedBlock = {{{"attention.qkv.", "attn.Wqkv."},
                                                 {"attention.out.", "attn.out_proj."},
                                                 {"attention.q_norm.", "attn.q_norm."},
                                                 {"attention.k_norm.", "attn.k_norm."},
                                                 {"ada_ln.linear.", "adaLN_modulation.1."}}};

// The name with the first prefix that fits replaced; as it is where none does.
template <size_t N>
std::string renamed(std::string_view name, const std::array<Rename, N>& renames) {
  for (const auto& [own, published] : renames)
    if (name.starts_with(own)) return join(published, name.substr(own.size()));
  return std::string(name);
}

// Other kinds of experts, and routers, keep their own names.
bool has_published_experts(const DitMoeConfig& config) { return config.layer.experts.name == "feed_forward"; }

// w13 (2F, D) holds the gate rows, then the up rows.
void add_gated_mlp(TensorMap& out, const std::string& prefix, std::string_view kind, const at::Tensor& weight) {
  if (kind == "w2") {
    out.emplace(prefix + "down_proj.weight", weight);
    return;
  }
  const int64_t F = weight.size(0) / 2;
  out.emplace(prefix + "gate_proj.weight", weight.narrow(0, 0, F));
  out.emplace(prefix + "up_proj.weight", weight.narrow(0, F, F));
}

// `name` without "blocks.N.", `prefix` with it.
void add_block_tensor(TensorMap& out, const std::string& prefix, std::string_view name, const at::Tensor& tensor,
                      const DitMoeConfig& config) {
  constexpr std::string_view kExperts = "moe.experts.", kShared = "moe.shared_experts.";
  if (name.starts_with(kExperts) && has_published_experts(config)) {
    for (int64_t e = 0; e < tensor.size(0); ++e)
      add_gated_mlp(out, join(prefix, kExperts, e, "."), name.substr(kExperts.size()), tensor.select(0, e));
  } else if (name.starts_with(kShared)) {
    add_gated_mlp(out, join(prefix, kShared), name.substr(kShared.size()), tensor);
  } else {
    out.emplace(prefix + (config.qk_norm ? renamed(name, kNormedBlock) : renamed(name, kTimmBlock)), tensor);
  }
}

}  // namespace

TensorMap published_views(const DitMoeConfig& config, const TensorMap& own) {
  constexpr std::string_view kBlocks = "blocks.";
  TensorMap out;
  for (const auto& [name, tensor] : own) {
    if (name.starts_with(kBlocks)) {
      const auto split = name.find('.', kBlocks.size()) + 1;
      add_block_tensor(out, name.substr(0, split), std::string_view(name).substr(split), tensor, config);
    } else if (name == "x_embedder.weight") {
      out.emplace("x_embedder.proj.weight",
                  tensor.reshape({config.hidden_size, config.in_channels, config.patch_size, config.patch_size}));
    } else if (name == "y_embedder.table.weight") {
      // Without label dropout the published table has no row for the null class.
      out.emplace("y_embedder.embedding_table.weight",
                  config.has_null_class() ? tensor : tensor.narrow(0, 0, config.num_classes));
    } else {
      out.emplace(renamed(name, kOutside), tensor);
    }
  }
  return out;
}

void refuse_gelu_dit(const std::function<bool(const std::string&)>& holds, const std::string& where) {
  for (const char* name : {"blocks.0.mlp.fc1.weight", "transformer_blocks.0.ff.net.0.proj.weight"})
    check<DataError>(!holds(name), "[dit_moe] ", where, ": a dense DiT with GELU layers (", name,
                     "); DiT-MoE's experts are SwiGLU layers of three matrices, so it cannot be loaded, converted or "
                     "upcycled");
}

void initialise_as_published(DitMoe& model) {
  const at::NoGradGuard no_grad;
  const auto is = [](std::string_view name, std::string_view part) { return name.find(part) != std::string::npos; };
  for (const auto& [name, view] : published_views(model.config(), state_of(model))) {
    // Routers, and experts that were never published, begin as they like.
    if (name == "pos_embed" || is(name, "moe.gate.") || is(name, "_norm.")) continue;
    if (is(name, "moe.experts.") && !has_published_experts(model.config())) continue;
    if (name.ends_with(".bias") || is(name, "adaLN_modulation") || is(name, "final_layer")) {
      view.zero_();
    } else if (name.starts_with("t_embedder") || name.starts_with("y_embedder")) {
      view.normal_(0.0, 0.02);
    } else {
      torch::nn::init::xavier_uniform_(view.flatten(1));  // the patch convolution counts as a linear layer
    }
  }
}

}  // namespace polyphony::pipelines
