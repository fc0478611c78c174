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
  config.router.shared_expert = config.shared_hidden > 0;
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
  // The shared expert is part of the fused operation where it is computed on the same tokens with weight 1.
  const bool fused = shared_ && !routing.slots.mix_ST.defined() && !routing.shared_weight_T.defined();
  auto y_TD = routing.slots.mix_ST.defined()
                  ? through_slots(x_TD, routing.slots)
                  : experts_->forward({.x_TD = x_TD,
                                       .plan = plan_dispatch(routing),
                                       .weight_N = routing.weight_N,
                                       .shared = fused ? std::optional(shared_->weights()) : std::nullopt});
  if (shared_ && !fused) {
    const auto shared_TD = shared_->forward(x_TD, activation_of(config_.experts.activation));
    y_TD = y_TD + (routing.shared_weight_T.defined()
                       ? (shared_TD * routing.shared_weight_T.unsqueeze(1)).to(y_TD.scalar_type())
                       : shared_TD);
  }
  return {.y_TD = std::move(y_TD), .routing = std::move(routing)};
}

at::Tensor MoELayer::through_slots(const at::Tensor& x_TD, const SlotMixing& slots) {
  const int64_t S = slots.slot_expert_S.size(0);
  const Routing one_expert_a_slot{.token_N = at::arange(S, slots.slot_expert_S.options()),
                                  .expert_N = slots.slot_expert_S,
                                  .weight_N = at::ones({S}, slots.mix_ST.options()),
                                  .num_tokens = S,
                                  .num_experts = config_.router.num_experts};
  const auto y_SD = experts_->forward({.x_TD = at::matmul(slots.mix_ST.to(x_TD.scalar_type()), x_TD),
                                       .plan = plan_dispatch(one_expert_a_slot),
                                       .weight_N = one_expert_a_slot.weight_N});
  return at::matmul(slots.combine_TS.to(y_SD.scalar_type()), y_SD);
}

}  // namespace polyphony::moe
