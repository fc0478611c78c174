// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

OlmoeConfig small() {
  return {.vocab_size = 40,
          .hidden_size = 16,
          .intermediate_size = 12,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .num_experts = 5,
          .num_experts_per_tok = 2,
          .max_position_embeddings = 64,
          .clip_qkv = 0.5,
          .eos_token_ids = {0, 3},
          .pad_token_id = 1};
}
nlohmann::json small_json() { return nlohmann::json::parse(olmoe_config_json(small())); }
auto parse(const nlohmann::json& json) { return parse_olmoe_config(json, "config.json"); }

TEST(OlmoeConfig, WritesWhatItReads) {
  const auto parsed = parse(small_json());
  EXPECT_EQ(parsed.config, small());
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(OlmoeConfig, DescribesTheReleasedModelByDefault) {
  // 6.92B parameters of which 1.28B are active: OLMoE (arXiv:2409.02060), table 1 says 6.9B and 1.3B.
  const auto count = count_parameters(OlmoeConfig());
  EXPECT_EQ(count.total, 6919161856);
  EXPECT_EQ(count.active, 1282017280);
}

TEST(OlmoeConfig, ReadsTheRopeOfBothGenerations) {
  auto json = small_json();
  json["rope_theta"] = 5000.0;
  EXPECT_EQ(parse(json).config.rope_theta, 5000.0);
  json.erase("rope_theta");
  json["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 700.0}};
  EXPECT_EQ(parse(json).config.rope_theta, 700.0);
  json["rope_parameters"] = {{"rope_type", "yarn"}, {"rope_theta", 700.0}};
  EXPECT_REFUSED(DataError, parse(json), "'rope_parameters'", "default", "'yarn'");
  json.erase("rope_parameters");
  json["rope_scaling"] = {{"type", "linear"}};
  EXPECT_REFUSED(DataError, parse(json), "'rope_scaling'", "'linear'");
}

TEST(OlmoeConfig, LetsKeyHeadsDefaultToQueryHeads) {
  auto json = small_json();
  json["num_key_value_heads"] = nullptr;
  EXPECT_EQ(parse(json).config.num_key_value_heads, 4);
}

TEST(OlmoeConfig, NamesTheFieldThatIsWrong) {
  struct Case {
    const char* key;
    nlohmann::json value;
    std::vector<const char*> words;
  };
  const std::vector<Case> cases = {
      {"model_type", "llama", {"type 'olmoe'", "'llama'"}},
      {"vocab_size", 0, {"vocab_size", "[1, "}},
      {"hidden_size", "16", {"'hidden_size'", "integer"}},
      {"hidden_size", nullptr, {"expected 'hidden_size'"}},
      {"num_attention_heads", 16, {"num_attention_heads", "even heads"}},
      {"num_key_value_heads", 3, {"num_key_value_heads", "divide", "4"}},
      {"num_experts_per_tok", 6, {"num_experts_per_tok", "[1, 5]", "6"}},
      {"rms_norm_eps", -1.0, {"rms_norm_eps"}},
      {"clip_qkv", 0, {"clip_qkv", "positive"}},
      {"hidden_act", "gelu", {"hidden_act", "silu", "gelu"}},
      {"attention_bias", true, {"attention_bias", "false"}},
      {"eos_token_id", 40, {"eos_token_id", "[0, 40)", "40"}},
      {"eos_token_id", "a", {"eos_token_id", "token id"}},
      {"norm_topk_prob", 1, {"norm_topk_prob", "true or false"}},
  };
  for (const auto& [key, value, words] : cases) {
    auto json = small_json();
    json[key] = value;
    for (const auto* word : words) EXPECT_REFUSED(DataError, parse(json), "config.json", word) << key;
  }
}

TEST(OlmoeConfig, ReadsItsOwnQuantisationOnly) {
  auto config = small();
  config.quantization = OlmoeQuantization{.format = ops::WeightFormat::int4, .group = 64};
  auto json = nlohmann::json::parse(olmoe_config_json(config));
  EXPECT_EQ(parse(json).config, config);
  json["quantization_config"]["group_size"] = 33;
  EXPECT_REFUSED(DataError, parse(json), "'group_size'", "multiple of 32");
  json["quantization_config"]["format"] = "bf16";
  EXPECT_REFUSED(DataError, parse(json), "'format'", "int8 or int4");
  json["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}};
  EXPECT_REFUSED(DataError, parse(json), "'polyphony'", "'gptq'");
}

TEST(OlmoeConfig, WarnsOfKeysThatItDoesNotKnow) {
  auto json = small_json();
  json["sliding_window"] = 4096;
  ASSERT_EQ(parse(json).warnings.size(), 1U);
  EXPECT_NE(parse(json).warnings[0].find("sliding_window"), std::string::npos);
}

}  // namespace
}  // namespace polyphony::pipelines
