// SPDX-License-Identifier: Apache-2.0
// The shape of a language model of the OLMoE family and its config.json, as Hugging Face's OlmoeForCausalLM has it.
// Source: OLMoE: Open Mixture-of-Experts Language Models (arXiv:2409.02060), and transformers' model code.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/ops/packed_product/quantize.h"

namespace polyphony::pipelines {

inline constexpr const char* kOlmoeModelType = "olmoe";

// Of a folder that `convert --quantize` wrote: numbers and scales instead of weights.
struct OlmoeQuantization {
  ops::WeightFormat format = ops::WeightFormat::int8;  // int8 | int4
  int64_t group = 32;                                  // values of a row that share a scale
  bool operator==(const OlmoeQuantization&) const = default;
};

// Names are config.json's; defaults are those of the released 7B model.
struct OlmoeConfig {
  int64_t vocab_size = 50304;        // V
  int64_t hidden_size = 2048;        // D
  int64_t intermediate_size = 1024;  // F, of one expert
  int64_t num_hidden_layers = 16;
  int64_t num_attention_heads = 16;        // H
  int64_t num_key_value_heads = 16;        // G, divides H
  int64_t num_experts = 64;                // E
  int64_t num_experts_per_tok = 8;         // K
  int64_t max_position_embeddings = 4096;  // tokens of the longest text
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  bool norm_topk_prob = false;                   // divide the K weights by their sum
  bool tie_word_embeddings = false;              // the head is the embedding
  std::optional<double> clip_qkv = {};           // bound of queries, keys and values
  std::vector<int64_t> eos_token_ids = {50279};  // any of them ends a text; may be empty
  std::optional<int64_t> bos_token_id = {};
  std::optional<int64_t> pad_token_id = {};
  std::optional<OlmoeQuantization> quantization = {};  // of projections, experts and head as they are stored

  int64_t head_dim() const { return hidden_size / num_attention_heads; }  // C
  int64_t kv_size() const { return num_key_value_heads * head_dim(); }    // G C
  bool operator==(const OlmoeConfig&) const = default;
};

// Throws ConfigError naming the field and what it may be.
void check_olmoe_config(const OlmoeConfig& config);

struct OlmoeParameters {
  int64_t total = 0;   // a tied head is not counted again
  int64_t active = 0;  // that one token passes
};
OlmoeParameters count_parameters(const OlmoeConfig& config);

struct ParsedOlmoeConfig {
  OlmoeConfig config;
  std::vector<std::string> warnings = {};  // keys that are not known
};
// Both generations of transformers: rope_theta, or rope_parameters. `source` names the file in messages. Throws
// DataError naming the field, also for what this model does not have: biases, other activations, scaled RoPE.
ParsedOlmoeConfig parse_olmoe_config(const nlohmann::json& object, const std::string& source);
std::string olmoe_config_json(const OlmoeConfig& config);

}  // namespace polyphony::pipelines
