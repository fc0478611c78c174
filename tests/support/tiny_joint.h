// SPDX-License-Identifier: Apache-2.0
// A joint model of toy size with random weights that are far from their start, so that every part of it has an effect.
#pragma once
#include <ATen/ATen.h>

#include "core/rng.h"
#include "pipelines/data/scenes/dataset.h"
#include "pipelines/joint/folder.h"

namespace polyphony::testing {

using namespace pipelines;

inline void randomise(torch::nn::Module& module, uint64_t seed) {
  const c10::NoGradGuard no_grad;
  auto generator = make_generator(seed);
  for (auto& p : module.parameters())
    p.copy_(at::randn(p.sizes(), generator) * (p.dim() > 1 ? 0.15 : 0.05) + (p.dim() == 1 ? 1.0 : 0.0));
}

// [model] and [moe] of such a model; the groups are to follow.
inline constexpr const char* kTinySizes = R"(
[model]
dim = 32
depth = 2
num_heads = 2
rope_axis_dims = [4, 6, 6]
image_hidden = 16
[moe]
experts_per_token = 1
expert_hidden = 8
shared_hidden = 8
)";

inline JointBundle tiny_bundle() {
  JointBundle bundle;
  const scenes::SceneStream stream(0, scenes::Split::train);
  std::vector<std::string> sentences;
  for (uint64_t i = 0; i < 200; ++i) sentences.push_back(stream[i].caption);
  bundle.tokenizer = std::make_shared<text::Tokenizer>(text::Tokenizer::from_bytes(
      text::train_tokenizer(sentences, {.vocab_size = 120, .kind = text::TokenizerKind::bpe})));
  auto config = Config::from_string(std::string(kTinySizes) + R"([[moe.groups]]
name = "seen"
modalities = ["image"]
num_experts = 2
[[moe.groups]]
name = "said and drawn"
modalities = ["text", "latent"]
num_experts = 2
)",
                                    "tiny");
  bundle.config = joint_config(config);
  config.check_all_used();
  bundle.config.vocab_size = bundle.tokenizer->vocab_size();
  bundle.config.begin_id = bundle.tokenizer->bos_id();
  bundle.config.end_id = bundle.tokenizer->eos_id();
  bundle.model = std::make_shared<JointModel>(bundle.config);
  randomise(*bundle.model, 1);
  bundle.autoencoder = std::make_shared<latent::AutoencoderKL>(latent::AutoencoderConfig{
      .block_out_channels = {4, 4, 4, 4}, .norm_num_groups = 2, .sample_size = 96, .scaling_factor = 0.5});
  randomise(*bundle.autoencoder, 2);
  bundle.model->eval();
  bundle.autoencoder->eval();
  return bundle;
}

}  // namespace polyphony::testing
