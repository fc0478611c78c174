// SPDX-License-Identifier: Apache-2.0
// The shape of a DiT-MoE, its published presets, its parameter counts and its config.json.
// Source: Scaling Diffusion Transformers to 16 Billion Parameters (arXiv:2407.11633), table 1, and its code.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "moe/moe_layer.h"

namespace polyphony::pipelines {

inline constexpr const char* kDitMoeModelType = "dit_moe";                   // a folder of ours
inline constexpr const char* kDitMoeClassName = "DiTMoETransformer2DModel";  // a transformer/ of diffusers

// What a model was trained to predict: the velocity of a rectified flow, or the noise of DDPM.
enum class DitMoeMode : uint8_t { rectified_flow, ddpm };

// Names and defaults are those of the published code.
struct DitMoeConfig {
  int64_t input_size = 32;  // latents a side; pictures are 8 times as large
  int64_t patch_size = 2;
  int64_t in_channels = 4;
  int64_t hidden_size = 384;  // D
  int64_t depth = 12;
  int64_t num_heads = 6;
  int64_t num_classes = 1000;
  int64_t num_experts = 8;          // E
  int64_t num_experts_per_tok = 2;  // K
  int64_t num_shared_experts = 2;   // one MLP of this many times D; 0: none
  int64_t mlp_ratio = 4;            // width of a routed expert over D
  bool learn_sigma = true;          // twice the output channels: variances behind the prediction
  bool qk_norm = false;             // XL and G: layer norm of queries and keys, and other tensor names
  bool norm_topk_prob = false;      // published: false, the K weights sum to less than one
  double aux_loss_alpha = 0.01;     // weight of the balance loss, a layer (code 0.01, paper 0.005)
  double class_dropout_prob = 0.1;  // 0: there is no null class and therefore no guidance
  int64_t pretraining_tp = 2;       // slices that the published code sums over: kept for its reader, no effect here
  // Settings for models of our own; config.json holds them only where they differ from the published code.
  double norm_eps = 1e-6;             // of the layer norms; the DiT of diffusers has 1e-5 in one of them
  double timestep_scale = 1;          // multiplies t; published: none, also where t is in [0, 1]
  int64_t timestep_period_shift = 0;  // frequency i is 10000^(-i / (128 - shift)); 1 in the DiT of diffusers
  // [moe] of a recipe: router, kind of experts, capacity, losses. Sizes come from above.
  moe::MoEConfig layer = {};
  std::string compute_dtype = "float32";  // float32 | bfloat16 of the experts' products; not stored

  int64_t out_channels() const { return learn_sigma ? 2 * in_channels : in_channels; }
  int64_t grid() const { return input_size / patch_size; }  // patches a side
  bool has_null_class() const { return class_dropout_prob > 0; }
  moe::MoEConfig moe() const;
  bool published_layer() const { return layer == moe::MoEConfig{}; }
  bool operator==(const DitMoeConfig&) const = default;
};

// The whole-number keys that config.json and a recipe's [model] share, with their fields.
struct DitMoeIntegerKey {
  const char* name;
  int64_t DitMoeConfig::*field;
};
inline constexpr DitMoeIntegerKey kDitMoeIntegers[] = {
    {"input_size", &DitMoeConfig::input_size},
    {"patch_size", &DitMoeConfig::patch_size},
    {"in_channels", &DitMoeConfig::in_channels},
    {"hidden_size", &DitMoeConfig::hidden_size},
    {"depth", &DitMoeConfig::depth},
    {"num_heads", &DitMoeConfig::num_heads},
    {"num_classes", &DitMoeConfig::num_classes},
    {"num_experts", &DitMoeConfig::num_experts},
    {"num_experts_per_tok", &DitMoeConfig::num_experts_per_tok},
    {"num_shared_experts", &DitMoeConfig::num_shared_experts},
};

// The [moe] table of a recipe or config.json. Throws ConfigError, also for sizes: those are the model's.
moe::MoEConfig read_dit_moe_layer(const Section& moe);

// Throws ConfigError naming the field and what it may be.
void check_dit_moe_config(const DitMoeConfig& config);

// "S/2-8E2A": size, patch, experts and experts a token. Sizes S, B, L, XL, G with 8 or 16 experts. Throws ConfigError
// with the known names.
DitMoeConfig dit_moe_preset(std::string_view name);
std::vector<std::string> dit_moe_preset_names();

struct ParameterCount {
  int64_t total = 0;   // without pos_embed, which is not learned
  int64_t active = 0;  // that one token passes
  bool operator==(const ParameterCount&) const = default;
};
// Arithmetic alone: nothing is allocated.
ParameterCount count_parameters(const DitMoeConfig& config);

struct ParsedDitMoeConfig {
  DitMoeConfig config;
  bool names_attention = false;            // the file says which attention it is (use_flash_attn)
  std::vector<std::string> warnings = {};  // keys that are not known
};
// `source` names the file in messages. Throws DataError naming the field.
ParsedDitMoeConfig parse_dit_moe_config(const nlohmann::json& object, const std::string& source);
std::string dit_moe_config_json(const DitMoeConfig& config);

}  // namespace polyphony::pipelines
