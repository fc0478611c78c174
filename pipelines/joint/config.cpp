// SPDX-License-Identifier: Apache-2.0
// JointConfig from the [model] and [moe] tables of a recipe or a config.json, and back.
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {

namespace {

// Text is written word by word, and samples have no classes: what a router needs beyond that it cannot have.
void check_router_fits(const moe::MoEConfig& config, const Section& moe) {
  const auto traits = moe::make_router(moe::resolved(config).router)->traits();
  moe.require(!traits.needs_label, "router", "needs class labels, which the joint model has not");
  moe.require(traits.causal, "router",
              "lets later tokens change earlier ones, but captions are written word by word; set inference = "
              "\"predictor\" where the router takes it, or use another one");
}

}  // namespace

JointConfig joint_config(Config& config) {
  const auto m = config.section("model");
  JointConfig c;
  auto& b = c.backbone;
  b.dim = m.integer("dim", b.dim, {8, 1 << 16});
  b.depth = m.integer("depth", b.depth, {1, 1024});
  b.num_heads = m.integer("num_heads", b.num_heads, {1, 1024});
  b.num_kv_heads = m.integer("num_kv_heads", b.num_heads, {1, 1024});
  b.qk_norm = m.flag("qk_norm", b.qk_norm);
  b.norm_eps = m.number("norm_eps", b.norm_eps, {.above = 0});
  b.rope_theta = m.number("rope_theta", b.rope_theta, {.above = 1});
  b.rope_axis_dims = m.integers("rope_axis_dims", b.rope_axis_dims, {2, 1 << 16});
  c.image_size = m.integer("image_size", c.image_size, {1, 1 << 14});
  c.image_patch = m.integer("image_patch", c.image_patch, {1, 1 << 14});
  c.image_hidden = m.integer("image_hidden", c.image_hidden, {1, 1 << 16});
  c.latent_channels = m.integer("latent_channels", c.latent_channels, {1, 1024});
  c.latent_size = m.integer("latent_size", c.latent_size, {1, 1 << 14});
  c.latent_patch = m.integer("latent_patch", c.latent_patch, {1, 1 << 14});
  c.max_text_tokens = m.integer("max_text_tokens", c.max_text_tokens, {1, 1 << 20});
  m.require(b.dim % b.num_heads == 0, "num_heads", "must divide dim");
  m.require(b.num_heads % b.num_kv_heads == 0, "num_kv_heads", "must divide num_heads");
  m.require(b.rope_axis_dims.size() == static_cast<size_t>(kPositionAxes), "rope_axis_dims",
            "needs three entries: order, row, column");
  m.require(c.image_size % c.image_patch == 0, "image_patch", "must divide image_size");
  m.require(c.latent_size % c.latent_patch == 0, "latent_patch", "must divide latent_size");
  b.moe = moe::MoEConfig::from(config.section("moe"), b.dim);
  check_router_fits(b.moe, config.section("moe"));
  if (b.moe.modalities.empty()) b.moe.modalities = {Modality::text, Modality::image, Modality::latent};
  return c;
}

namespace {

std::vector<std::string> names_of(const std::vector<Modality>& modalities) {
  std::vector<std::string> names;
  for (const auto modality : modalities) names.emplace_back(modality_name(modality));
  return names;
}

nlohmann::ordered_json moe_json(const moe::MoEConfig& c) {
  auto json = moe::moe_choices_json(c);
  json.update({{"shared_hidden", c.shared_hidden},
               {"modalities", names_of(c.modalities)},
               {"groups", nlohmann::ordered_json::array()}});
  for (const auto& group : c.groups)
    json["groups"].push_back(
        {{"name", group.name}, {"modalities", names_of(group.modalities)}, {"num_experts", group.num_experts}});
  if (c.groups.empty()) json["num_experts"] = c.router.num_experts;
  if (!c.experts_by_layer.empty()) json["experts_by_layer"] = c.experts_by_layer;
  return json;
}

}  // namespace

std::string joint_config_json(const JointConfig& c) {
  const auto& b = c.backbone;
  const nlohmann::ordered_json json = {{"model_type", kJointModelType},
                                       {"model",
                                        {{"dim", b.dim},
                                         {"depth", b.depth},
                                         {"num_heads", b.num_heads},
                                         {"num_kv_heads", b.num_kv_heads},
                                         {"qk_norm", b.qk_norm},
                                         {"norm_eps", b.norm_eps},
                                         {"rope_theta", b.rope_theta},
                                         {"rope_axis_dims", b.rope_axis_dims},
                                         {"vocab_size", c.vocab_size},
                                         {"begin_id", c.begin_id},
                                         {"end_id", c.end_id},
                                         {"image_size", c.image_size},
                                         {"image_patch", c.image_patch},
                                         {"image_hidden", c.image_hidden},
                                         {"latent_channels", c.latent_channels},
                                         {"latent_size", c.latent_size},
                                         {"latent_patch", c.latent_patch},
                                         {"max_text_tokens", c.max_text_tokens}}},
                                       {"moe", moe_json(b.moe)}};
  return json.dump(2);
}

double parameter_estimate(const JointConfig& c, int64_t vocab_size) {
  const auto& b = c.backbone;
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const double D = number(b.dim);
  const double experts = number(moe::resolved(b.moe).router.num_experts) * number(b.moe.experts.expert_hidden);
  const double block = D * (3 * (experts + number(b.moe.shared_hidden)) + 10 * D);  // attention 4, adaLN 6
  return number(b.depth) * block + D * number(vocab_size + c.image_hidden) +
         3.0 * number(c.image_patch * c.image_patch * c.image_hidden);
}

int64_t inactive_parameters(const moe::BackboneConfig& b) {
  // Of each group's experts a token passes experts_per_token; the rest of all banks is idle for it.
  const int64_t per_expert = 3 * b.dim * b.moe.experts.expert_hidden;
  const int64_t active = std::min(b.moe.router.experts_per_token, b.moe.router.num_experts);
  return b.depth * per_expert * (b.moe.router.num_experts - active);
}

}  // namespace polyphony::pipelines
