// SPDX-License-Identifier: Apache-2.0
// Checks, counts, and config.json both ways.
#include "pipelines/olmoe/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr auto kQuantMethod = "polyphony";

struct IntegerKey {
  const char* name;
  int64_t OlmoeConfig::*field;
  int64_t high;
};
constexpr IntegerKey kIntegers[] = {
    {"vocab_size", &OlmoeConfig::vocab_size, 1 << 24},
    {"hidden_size", &OlmoeConfig::hidden_size, 1 << 16},
    {"intermediate_size", &OlmoeConfig::intermediate_size, 1 << 18},
    {"num_hidden_layers", &OlmoeConfig::num_hidden_layers, 1024},
    {"num_attention_heads", &OlmoeConfig::num_attention_heads, 1024},
    {"num_key_value_heads", &OlmoeConfig::num_key_value_heads, 1024},
    {"num_experts", &OlmoeConfig::num_experts, 4096},
    {"num_experts_per_tok", &OlmoeConfig::num_experts_per_tok, 4096},
    {"max_position_embeddings", &OlmoeConfig::max_position_embeddings, 1 << 24},
};

// What training reads, and what says who wrote the file.
constexpr const char* kNoEffect[] = {
    "architectures",     "model_type",           "initializer_range",    "use_cache",
    "attention_dropout", "output_router_logits", "router_aux_loss_coef", "dtype",
    "torch_dtype",       "transformers_version", "quantization_config",  "_name_or_path"};

// "field must be ..., got ...", or nothing when a model can be built.
std::optional<std::string> problem_with(const OlmoeConfig& c) {
  for (const auto& [name, field, high] : kIntegers)
    if (c.*field < 1 || c.*field > high) return join(name, " must be in [1, ", high, "], got ", c.*field);
  if (c.hidden_size % (2 * c.num_attention_heads) != 0)
    return join("num_attention_heads must divide hidden_size ", c.hidden_size, " into even heads, got ",
                c.num_attention_heads);
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    return join("num_key_value_heads must divide num_attention_heads ", c.num_attention_heads, ", got ",
                c.num_key_value_heads);
  if (c.num_experts_per_tok > c.num_experts)
    return join("num_experts_per_tok must be in [1, ", c.num_experts, "], got ", c.num_experts_per_tok);
  if (!(c.rms_norm_eps > 0 && c.rms_norm_eps <= 1)) return join("rms_norm_eps must be in (0, 1], got ", c.rms_norm_eps);
  if (!(c.rope_theta >= 1 && std::isfinite(c.rope_theta)))
    return join("rope_theta must be at least 1, got ", c.rope_theta);
  if (c.clip_qkv && !(*c.clip_qkv > 0 && std::isfinite(*c.clip_qkv)))
    return join("clip_qkv must be positive, got ", *c.clip_qkv);
  for (const int64_t id : c.eos_token_ids)
    if (id < 0 || id >= c.vocab_size) return join("eos_token_id must be in [0, ", c.vocab_size, "), got ", id);
  for (const auto& [name, id] : {std::pair{"bos_token_id", c.bos_token_id}, {"pad_token_id", c.pad_token_id}})
    if (id && (*id < 0 || *id >= c.vocab_size)) return join(name, " must be in [0, ", c.vocab_size, "), got ", *id);
  return std::nullopt;
}

// One number, a list of them, or null.
std::vector<int64_t> read_ids(const nlohmann::json& object, const char* key, const std::string& source) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return {};
  const auto list = it->is_array() ? *it : nlohmann::json::array({*it});
  std::vector<int64_t> ids;
  for (const auto& id : list) {
    check<DataError>(id.is_number_integer(), "[", source, "] '", key, "' must be a token id or a list of them, got ",
                     printable(dump_json(*it), 60));
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

// rope_theta and rope_scaling of older files, or the newer rope_parameters.
double read_rope(ObjectReader& reader, const nlohmann::json& object, const std::string& source) {
  auto theta = reader.number("rope_theta").value_or(OlmoeConfig().rope_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    reader.ignore(key);
    const auto it = object.find(key);
    if (it == object.end() || it->is_null()) continue;
    ObjectReader rope(*it, source + "] [" + key);
    theta = rope.number("rope_theta").value_or(theta);
    const auto type = rope.text("rope_type"), old_type = rope.text("type");
    const auto named = type ? *type : old_type.value_or("default");
    check<DataError>(named == "default", "[", source, "] '", key, "' must be of type default, got '",
                     printable(named, 40), "'");
    rope.finish();
  }
  return theta;
}

std::optional<OlmoeQuantization> read_quantization(ObjectReader& reader, const nlohmann::json& object,
                                                   const std::string& source) {
  constexpr auto kKey = "quantization_config";
  if (!reader.has(kKey) || object[kKey].is_null()) return std::nullopt;
  reader.ignore(kKey);
  ObjectReader inner(object[kKey], join(source, "] [", kKey));
  const auto method = inner.text("quant_method").value_or("none");
  check<DataError>(method == kQuantMethod, "[", source, "] weights quantised by '", kQuantMethod,
                   "' can be read, got those of '", printable(method, 40), "'");
  const auto name = inner.text("format").value_or("none");
  const auto format = ops::weight_format(name);
  check<DataError>(format && *format != ops::WeightFormat::bf16, "[", source, "] 'format' must be int8 or int4, got '",
                   printable(name, 40), "'");
  const auto group = inner.integer("group_size").value_or(32);
  check<DataError>(group >= 32 && group <= 4096 && group % 32 == 0, "[", source,
                   "] 'group_size' must be a multiple of 32 up to 4096, got ", group);
  inner.finish();
  return OlmoeQuantization{.format = *format, .group = group};
}

}  // namespace

void check_olmoe_config(const OlmoeConfig& config) {
  const auto problem = problem_with(config);
  check<ConfigError>(!problem, "[olmoe] ", problem.value_or(""));
}

OlmoeParameters count_parameters(const OlmoeConfig& c) {
  const int64_t D = c.hidden_size;
  const int64_t expert = 3 * c.intermediate_size * D;
  const int64_t rest = 2 * D * D + 2 * c.kv_size() * D + 3 * D + c.kv_size() + c.num_experts * D;
  const int64_t ends = (c.tie_word_embeddings ? 1 : 2) * c.vocab_size * D + D;
  return {.total = ends + c.num_hidden_layers * (rest + c.num_experts * expert),
          .active = ends + c.num_hidden_layers * (rest + c.num_experts_per_tok * expert)};
}

ParsedOlmoeConfig parse_olmoe_config(const nlohmann::json& object, const std::string& source) {
  ObjectReader reader(object, source);
  const auto type = reader.text("model_type");
  check<DataError>(type == kOlmoeModelType, "[", source, "] expected a model of type '", kOlmoeModelType, "', got '",
                   printable(type.value_or("none"), 60), "'");
  ParsedOlmoeConfig parsed;
  auto& c = parsed.config;
  for (const auto& [name, field, high] : kIntegers) {
    const auto value = reader.integer(name);
    const bool may_lack = field == &OlmoeConfig::num_key_value_heads;
    check<DataError>(value || may_lack, "[", source, "] expected '", name, "', got none");
    c.*field = value.value_or(c.num_attention_heads);
  }
  c.rms_norm_eps = reader.number("rms_norm_eps").value_or(c.rms_norm_eps);
  c.rope_theta = read_rope(reader, object, source);
  c.norm_topk_prob = reader.flag("norm_topk_prob").value_or(c.norm_topk_prob);
  c.tie_word_embeddings = reader.flag("tie_word_embeddings").value_or(c.tie_word_embeddings);
  c.clip_qkv = reader.number("clip_qkv");
  c.bos_token_id = reader.integer("bos_token_id");
  c.pad_token_id = reader.integer("pad_token_id");
  reader.ignore("eos_token_id");
  c.eos_token_ids = read_ids(object, "eos_token_id", source);
  c.quantization = read_quantization(reader, object, source);
  const auto activation = reader.text("hidden_act").value_or("silu");
  check<DataError>(activation == "silu", "[", source, "] 'hidden_act' must be silu, got '", printable(activation, 40),
                   "'");
  check<DataError>(!reader.flag("attention_bias").value_or(false), "[", source,
                   "] 'attention_bias' must be false: projections with biases are not supported");
  for (const char* key : kNoEffect) reader.ignore(key);
  for (const auto& key : reader.unknown_keys())
    parsed.warnings.push_back("[" + source + "] the key '" + printable(key, 60) + "' is not known and was ignored");
  const auto problem = problem_with(c);
  check<DataError>(!problem, "[", source, "] ", problem.value_or(""));
  return parsed;
}

std::string olmoe_config_json(const OlmoeConfig& c) {
  nlohmann::ordered_json json = {{"architectures", {"OlmoeForCausalLM"}}, {"model_type", kOlmoeModelType}};
  for (const auto& [name, field, high] : kIntegers) json[name] = c.*field;
  const auto optional = [](const auto& value) { return value ? nlohmann::ordered_json(*value) : nullptr; };
  json["hidden_act"] = "silu";
  json["attention_bias"] = false;
  json["attention_dropout"] = 0.0;
  json["rms_norm_eps"] = c.rms_norm_eps;
  json["rope_theta"] = c.rope_theta;
  json["rope_scaling"] = nullptr;
  json["norm_topk_prob"] = c.norm_topk_prob;
  json["tie_word_embeddings"] = c.tie_word_embeddings;
  json["clip_qkv"] = optional(c.clip_qkv);
  json["bos_token_id"] = optional(c.bos_token_id);
  json["pad_token_id"] = optional(c.pad_token_id);
  json["eos_token_id"] = c.eos_token_ids.empty()       ? nlohmann::ordered_json(nullptr)
                         : c.eos_token_ids.size() == 1 ? nlohmann::ordered_json(c.eos_token_ids.front())
                                                       : nlohmann::ordered_json(c.eos_token_ids);
  if (const auto& q = c.quantization)
    json["quantization_config"] = {
        {"quant_method", kQuantMethod}, {"format", ops::to_string(q->format)}, {"group_size", q->group}};
  return json.dump(2) + "\n";
}

}  // namespace polyphony::pipelines
