// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/upcycle.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "pipelines/dit_moe/published.h"

namespace polyphony::pipelines {
namespace {

constexpr double kGateDeviation = 0.02;

// The source's configuration with what may differ taken from the target.
DitMoeConfig allowed(const DitMoeConfig& source, const DitMoeConfig& target) {
  auto c = source;
  c.num_experts = target.num_experts;
  c.num_experts_per_tok = target.num_experts_per_tok;
  c.aux_loss_alpha = target.aux_loss_alpha;
  c.norm_topk_prob = target.norm_topk_prob;
  c.pretraining_tp = target.pretraining_tp;
  c.compute_dtype = target.compute_dtype;
  if (c.has_null_class() && target.has_null_class()) c.class_dropout_prob = target.class_dropout_prob;
  return c;
}

// "blocks.3.moe.experts.5.up_proj.weight" -> the same of expert 0.
std::string first_expert(const std::string& name) {
  constexpr std::string_view kExperts = ".experts.";
  const auto at = name.find(kExperts);
  if (at == std::string::npos) return name;
  const auto number = at + kExperts.size();
  return name.substr(0, number) + "0" + name.substr(name.find('.', number));
}

}  // namespace

std::string upcycle(const DitMoe& source, DitMoe& target) {
  const auto &from = source.config(), &to = target.config();
  check<ConfigError>(allowed(from, to) == to,
                     "[upcycle] the two models must be of one size and differ in their experts only: expected ",
                     dit_moe_config_json(to), "got ", dit_moe_config_json(from));
  check<ConfigError>(from.num_experts <= to.num_experts, "[upcycle] expected a model with at most ", to.num_experts,
                     " experts, got ", from.num_experts);
  const at::NoGradGuard no_grad;
  const bool copied = from.num_experts == to.num_experts;
  const auto values = published_views(from, state_of(source));
  for (const auto& [name, view] : published_views(to, state_of(target))) {
    const auto& value = values.at(copied ? name : first_expert(name));
    if (value.sizes() == view.sizes()) {
      view.copy_(value);
    } else {
      view.normal_(0, kGateDeviation);
    }
  }
  return copied ? "" : join("upcycled from ", from.num_experts, " to ", to.num_experts, " experts");
}

}  // namespace polyphony::pipelines
