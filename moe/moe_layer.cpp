// SPDX-License-Identifier: Apache-2.0
#include "moe/moe_layer.h"

#include <ATen/ATen.h>

#include <utility>

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
  check<ConfigError>(
      config.shared_gate == "none" || config.shared_gate == "sigmoid" || config.shared_gate == "residual",
      "[moe] shared_gate must be none | sigmoid | residual, got '", config.shared_gate, "'");
  check<ConfigError>(config.shared_gate == "none" || config.shared_hidden > 0, "[moe] shared_gate '",
                     config.shared_gate, "' needs a shared expert: shared_hidden is 0");
  check_capacity(config.capacity);
  for (const auto& loss : config.losses) check_loss(loss);
  config.router.num_experts = E;
  config.router.shared_expert = config.shared_hidden > 0;
  config.experts.num_experts = E;
  config.experts.model_dim = config.router.model_dim;
  return config;
}

MoEConfig config_of_layer(MoEConfig config, int64_t layer, int64_t depth) {
  config.router.layer = layer;
  config.router.num_layers = depth;
  const auto pyramid = std::exchange(config.experts_by_layer, {});
  if (pyramid.empty()) return config;
  check<ConfigError>(static_cast<int64_t>(pyramid.size()) == depth,
                     "[moe] experts_by_layer needs one number for each of ", depth, " layers, got ", pyramid.size());
  check<ConfigError>(config.groups.size() <= 1 && (config.groups.empty() || config.groups.front().modalities.empty()),
                     "[moe] experts_by_layer and groups exclude one another: a group's "
                     "num_experts is that of all layers");
  config.router.num_experts = pyramid.at(static_cast<size_t>(layer));
  config.groups.clear();
  return resolved(std::move(config));
}

namespace {

// What this router answers for no tokens: which tables it fills.
Routing example_of(Router& router, const MoEConfig& config, const at::Tensor& allowed_ME) {
  const at::NoGradGuard no_grad;
  const auto id_T = at::zeros({0}, at::kLong);
  return router.route({.x_TD = at::zeros({0, config.router.model_dim}),
                       .modality_T = at::zeros({0}, at::kByte),
                       .allowed_ME = allowed_ME,
                       .token_id_T = id_T,
                       .sample_T = id_T,
                       .timestep_T = at::zeros({0}),
                       .label_T = id_T,
                       .attention_T = at::zeros({0}),
                       .training = true});
}

}  // namespace

MoELayer::MoELayer(const MoEConfig& config) : config_(resolved(config)) {
  allowed_ME_ = allowed_table(config_.groups, config_.modalities);
  router_ = register_module("gate", make_router(config_.router));
  experts_ = register_module("experts", make_expert_bank(config_.experts));
  if (config_.shared_hidden > 0)
    shared_ =
        register_module("shared_experts", std::make_shared<SharedMlp>(config_.router.model_dim, config_.shared_hidden));
  if (config_.shared_gate != "none") {
    const bool residual = config_.shared_gate == "residual";
    shared_gate_ = register_module(
        "shared_expert_gate",
        nn::Linear(torch::nn::LinearOptions(config_.router.model_dim, residual ? 2 : 1).bias(residual)));
  }
  if (config_.losses.empty()) return;
  const auto example = example_of(*router_, config_, allowed_ME_);
  for (const auto& loss : config_.losses) check_loss_fits(loss, example, config_.router.name);
}

MoEOutput MoELayer::forward(RoutingContext context) {
  context.allowed_ME = allowed_ME_.to(context.x_TD.device());
  context.training = is_training();
  auto routing = router_->route(context);
  return forward(context.x_TD, apply_capacity(std::move(routing), config_.capacity, experts_->cost_E(),
                                              context.training, context.generator));
}

MoEOutput MoELayer::forward(const at::Tensor& x_TD, Routing routing) {
  // The shared expert is part of the fused operation where it is computed on the same tokens with weight 1.
  const bool soft = routing.slots.mix_ST.defined();
  const bool fused = shared_ && !soft && !shared_gate_ && !routing.shared_weight_T.defined();
  auto y_TD = soft ? through_slots(x_TD, routing.slots)
                   : experts_->forward({.x_TD = x_TD,
                                        .plan = plan_dispatch(routing),
                                        .weight_N = routing.weight_N,
                                        .shared = fused ? std::optional(shared_->weights()) : std::nullopt});
  if (shared_ && !fused) y_TD = with_shared(y_TD, x_TD, routing.shared_weight_T);
  return {.y_TD = std::move(y_TD), .routing = std::move(routing)};
}

at::Tensor MoELayer::with_shared(const at::Tensor& routed_TD, const at::Tensor& x_TD,
                                 const at::Tensor& shared_weight_T) {
  const auto dtype = product_dtype(x_TD, compute_dtype_of(config_.experts.compute_dtype));
  auto shared_TD =
      gated_mlp(x_TD.to(dtype), cast(shared_->weights(), dtype), activation_of(config_.experts.activation));
  if (shared_weight_T.defined()) shared_TD = shared_TD * shared_weight_T.unsqueeze(1);
  auto mixed_TD = routed_TD + shared_TD;
  if (config_.shared_gate == "sigmoid") mixed_TD = routed_TD + shared_gate_->forward(x_TD).sigmoid() * shared_TD;
  if (config_.shared_gate == "residual") {
    const auto share_T2 = shared_gate_->forward(x_TD).softmax(1);
    mixed_TD = share_T2.narrow(1, 0, 1) * routed_TD + share_T2.narrow(1, 1, 1) * shared_TD;
  }
  return mixed_TD.to(routed_TD.scalar_type());
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
