// SPDX-License-Identifier: Apache-2.0
#include "moe/moe_layer.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/dispatch.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {

MoEConfig resolved(MoEConfig config) {
  if (config.groups.empty()) config.groups = {{.name = "all", .num_experts = config.router.num_experts}};
  int64_t E = 0;
  for (const auto& group : config.groups) E += group.num_experts;
  check<ConfigError>(config.router.num_experts == 0 || config.router.num_experts == E, "[moe] num_experts is ",
                     config.router.num_experts, " but the groups have ", E, " experts; give one of the two");
  check<ConfigError>(config.shared_hidden >= 0, "[moe] shared_hidden must not be negative, got ", config.shared_hidden);
  config.router.num_experts = E;
  config.experts.num_experts = E;
  config.experts.model_dim = config.router.model_dim;
  return config;
}

MoELayer::MoELayer(const MoEConfig& config) : config_(resolved(config)) {
  allowed_ME_ = allowed_table(config_.groups, config_.modalities);
  router_ = register_module("gate", make_router(config_.router));
  experts_ = register_module("experts", make_expert_bank(config_.experts));
  if (config_.shared_hidden > 0)
    shared_ =
        register_module("shared_experts", std::make_shared<SharedMlp>(config_.router.model_dim, config_.shared_hidden));
}

MoEOutput MoELayer::forward(RoutingContext context) {
  context.allowed_ME = allowed_ME_.to(context.x_TD.device());
  context.training = is_training();
  return forward(context.x_TD, router_->route(context));
}

MoEOutput MoELayer::forward(const at::Tensor& x_TD, Routing routing) {
  const auto plan = plan_dispatch(routing);
  auto y_TD = experts_->forward({.x_TD = x_TD,
                                 .plan = plan,
                                 .weight_N = routing.weight_N,
                                 .shared = shared_ ? std::optional(shared_->weights()) : std::nullopt});
  return {.y_TD = std::move(y_TD), .routing = std::move(routing)};
}

}  // namespace polyphony::moe
