// SPDX-License-Identifier: Apache-2.0
// Checks, the MoE layer's settings, and config.json both ways.
#include "pipelines/dit_moe/config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/config.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

struct Range {
  const char* field;
  int64_t value, low, high;
};

// "field must be ..., got ...", or nothing when a model can be built.
std::optional<std::string> problem_with(const DitMoeConfig& c) {
  for (const auto& [field, value, low, high] : {
           Range{"input_size", c.input_size, 1, 1 << 14},
           Range{"patch_size", c.patch_size, 1, 64},
           Range{"in_channels", c.in_channels, 1, 1024},
           Range{"hidden_size", c.hidden_size, 4, 1 << 14},
           Range{"depth", c.depth, 1, 1024},
           Range{"num_heads", c.num_heads, 1, 1024},
           Range{"num_classes", c.num_classes, 1, 1 << 20},
           Range{"num_experts", c.num_experts, 1, 4096},
           Range{"num_experts_per_tok", c.num_experts_per_tok, 1, c.num_experts},
           Range{"num_shared_experts", c.num_shared_experts, 0, 64},
           Range{"mlp_ratio", c.mlp_ratio, 1, 64},
           Range{"pretraining_tp", c.pretraining_tp, 1, 1024},
           Range{"timestep_period_shift", c.timestep_period_shift, 0, 1},
       })
    if (value < low || value > high) return join(field, " must be in [", low, ", ", high, "], got ", value);
  if (c.input_size % c.patch_size != 0)
    return join("patch_size must divide input_size ", c.input_size, ", got ", c.patch_size);
  if (c.grid() > 256) return join("input_size must be at most 256 patches, got ", c.grid());
  if (c.hidden_size % 4 != 0) return join("hidden_size must be a multiple of 4, got ", c.hidden_size);
  if (c.hidden_size % c.num_heads != 0)
    return join("num_heads must divide hidden_size ", c.hidden_size, ", got ", c.num_heads);
  if (!std::isfinite(c.aux_loss_alpha) || c.aux_loss_alpha < 0)
    return join("aux_loss_alpha must not be negative, got ", c.aux_loss_alpha);
  if (!(c.class_dropout_prob >= 0 && c.class_dropout_prob <= 1))
    return join("class_dropout_prob must be in [0, 1], got ", c.class_dropout_prob);
  if (!(c.norm_eps > 0 && c.norm_eps <= 1)) return join("norm_eps must be in (0, 1], got ", c.norm_eps);
  if (!std::isfinite(c.timestep_scale) || c.timestep_scale <= 0)
    return join("timestep_scale must be positive, got ", c.timestep_scale);
  return std::nullopt;
}

// What [moe] says elsewhere, and a DiT-MoE in [model] or not at all.
constexpr std::pair<const char*, const char*> kSizesElsewhere[] = {
    {"num_experts", "belongs to [model]"},
    {"experts_per_token", "is num_experts_per_tok of [model]"},
    {"expert_hidden", "is mlp_ratio of [model], in widths of the model"},
    {"compute_dtype", "is the dtype that the model is opened with"},
    {"groups", "has no use: all tokens are latents"},
};

}  // namespace

void check_dit_moe_config(const DitMoeConfig& config) {
  const auto problem = problem_with(config);
  check<ConfigError>(!problem, "[dit_moe] ", problem.value_or(""));
}

moe::MoEConfig read_dit_moe_layer(const Section& moe) {
  for (const auto& [key, where] : kSizesElsewhere) moe.require(!moe.has(key), key, where);
  return moe::read_moe_choices(moe);
}

moe::MoEConfig DitMoeConfig::moe() const {
  const bool normalised = norm_topk_prob && num_experts_per_tok > 1;  // the published code leaves K = 1 alone
  auto moe = layer;
  auto& router = moe.router;
  router.model_dim = hidden_size;
  router.num_experts = num_experts;
  if (moe::router_takes(router.name, "experts_per_token")) router.experts_per_token = num_experts_per_tok;
  if (layer.router == moe::RouterConfig{}) router.normalise = normalised ? "sum_eps" : "none";
  // Samples without a class are those of the null class.
  if (moe::router_takes(router.name, "null_label") && router.null_label < 0 && has_null_class())
    router.null_label = num_classes;
  if (moe::expert_bank_takes(moe.experts.name, "expert_hidden")) moe.experts.expert_hidden = mlp_ratio * hidden_size;
  moe.experts.compute_dtype = compute_dtype;
  moe.shared_hidden = num_shared_experts * hidden_size;
  moe.modalities = {Modality::latent};
  return moe;
}

ParsedDitMoeConfig parse_dit_moe_config(const nlohmann::json& object, const std::string& source) {
  ObjectReader reader(object, source);
  ParsedDitMoeConfig parsed;
  auto& c = parsed.config;
  const auto integer = [&](const char* key, int64_t& value) { value = reader.integer(key).value_or(value); };
  const auto number = [&](const char* key, double& value) { value = reader.number(key).value_or(value); };
  const auto flag = [&](const char* key, bool& value) { value = reader.flag(key).value_or(value); };
  for (const auto& [name, field] : kDitMoeIntegers) integer(name, c.*field);
  integer("pretraining_tp", c.pretraining_tp);
  flag("learn_sigma", c.learn_sigma);
  flag("norm_topk_prob", c.norm_topk_prob);
  number("aux_loss_alpha", c.aux_loss_alpha);
  number("class_dropout_prob", c.class_dropout_prob);
  number("norm_eps", c.norm_eps);
  number("timestep_scale", c.timestep_scale);
  integer("timestep_period_shift", c.timestep_period_shift);
  // A whole number that some writers store as 4.0.
  const double ratio = reader.number("mlp_ratio").value_or(static_cast<double>(c.mlp_ratio));
  check<DataError>(ratio >= 1 && ratio <= 64 && ratio == std::floor(ratio), "[", source,
                   "] 'mlp_ratio' must be a whole number in [1, 64], got ", ratio);
  c.mlp_ratio = static_cast<int64_t>(ratio);
  // The published flash attention is the one with the norms.
  for (const char* key : {"use_flash_attn", "qk_norm"})
    if (const auto value = reader.flag(key)) {
      check<DataError>(!parsed.names_attention || c.qk_norm == *value, "[", source,
                       "] use_flash_attn and qk_norm must be equal");
      c.qk_norm = *value;
      parsed.names_attention = true;
    }
  for (const char* key : {"moe", "model_type", "_class_name", "_diffusers_version", "_name_or_path", "architectures"})
    reader.ignore(key);
  for (const auto& key : reader.unknown_keys())
    parsed.warnings.push_back("[" + source + "] the key '" + printable(key, 60) + "' is not known and was ignored");
  const auto problem = problem_with(c);
  check<DataError>(!problem, "[", source, "] ", problem.value_or(""));
  if (object.is_object() && object.contains("moe")) {
    auto table = Config::from_json_string(nlohmann::json{{"moe", object["moe"]}}.dump(), source);
    c.layer = read_dit_moe_layer(table.section("moe"));
    table.check_all_used();
  }
  return parsed;
}

std::string dit_moe_config_json(const DitMoeConfig& c) {
  nlohmann::ordered_json json = {{"model_type", kDitMoeModelType},
                                 {"input_size", c.input_size},
                                 {"patch_size", c.patch_size},
                                 {"in_channels", c.in_channels},
                                 {"hidden_size", c.hidden_size},
                                 {"depth", c.depth},
                                 {"num_heads", c.num_heads},
                                 {"num_classes", c.num_classes},
                                 {"num_experts", c.num_experts},
                                 {"num_experts_per_tok", c.num_experts_per_tok},
                                 {"num_shared_experts", c.num_shared_experts},
                                 {"mlp_ratio", c.mlp_ratio},
                                 {"learn_sigma", c.learn_sigma},
                                 {"use_flash_attn", c.qk_norm},
                                 {"norm_topk_prob", c.norm_topk_prob},
                                 {"aux_loss_alpha", c.aux_loss_alpha},
                                 {"class_dropout_prob", c.class_dropout_prob},
                                 {"pretraining_tp", c.pretraining_tp}};
  const DitMoeConfig published;
  if (c.norm_eps != published.norm_eps) json["norm_eps"] = c.norm_eps;
  if (c.timestep_scale != published.timestep_scale) json["timestep_scale"] = c.timestep_scale;
  if (c.timestep_period_shift != published.timestep_period_shift)
    json["timestep_period_shift"] = c.timestep_period_shift;
  if (!c.published_layer()) {
    json["moe"] = moe::moe_choices_json(c.layer);
    for (const auto& [key, where] : kSizesElsewhere) json["moe"].erase(key);
  }
  return json.dump(2) + "\n";
}

}  // namespace polyphony::pipelines
