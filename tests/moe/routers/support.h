// SPDX-License-Identifier: Apache-2.0
// What the router tests share: small contexts of random tokens, and a routing read back as a table.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "moe/router.h"

namespace polyphony::moe {

inline constexpr int64_t kWidth = 16;

// A router's defaults at the tests' width.
inline RouterConfig config_of(const std::string& name, int64_t num_experts) {
  auto config = router_defaults(name);
  config.model_dim = kWidth;
  config.num_experts = num_experts;
  return config;
}

struct ContextOptions {
  int64_t tokens = 24;
  uint64_t seed = 1;
  std::vector<Modality> modalities = {Modality::text, Modality::image};
  std::vector<ExpertGroup> groups = {};
};

inline RoutingContext random_context(const ContextOptions& o) {
  at::manual_seed(o.seed);
  RoutingContext context;
  context.x_TD = at::randn({o.tokens, kWidth});
  std::vector<int64_t> values;
  for (const auto modality : o.modalities) values.push_back(static_cast<int64_t>(modality));
  const auto choice_T = at::randint(static_cast<int64_t>(values.size()), {o.tokens}, at::kLong);
  context.modality_T = at::tensor(values, at::kLong).index_select(0, choice_T).to(at::kByte);
  context.allowed_ME = allowed_table(o.groups, o.modalities);
  context.token_id_T = at::randint(1000, {o.tokens}, at::kLong);
  context.sample_T = at::zeros({o.tokens}, at::kLong);
  context.label_T = at::randint(5, {o.tokens}, at::kLong);
  return context;
}

inline std::vector<ExpertGroup> one_group(int64_t num_experts) {
  return {{.name = "all", .modalities = {}, .num_experts = num_experts}};
}

// f32 (T, E + Z): weight of each (token, expert), -1 where there is no row.
inline at::Tensor table_of(const Routing& r) {
  auto table = at::full({r.num_tokens, r.num_experts + r.num_null}, -1.0, at::kFloat);
  table.index_put_({r.token_N, r.expert_N}, r.weight_N.detach());
  return table;
}

// i64 (T): rows of each token.
inline at::Tensor rows_of_token(const Routing& r) { return at::bincount(r.token_N, {}, r.num_tokens); }

// The context with its tokens in another order.
inline RoutingContext permuted(RoutingContext context, const at::Tensor& order_T) {
  for (auto* field : {&context.x_TD, &context.modality_T, &context.token_id_T, &context.sample_T, &context.state_TP,
                      &context.label_T})
    if (field->defined()) *field = field->index_select(0, order_T);
  return context;
}

// Tokens [first, first + count) of the context.
inline RoutingContext narrowed(RoutingContext context, int64_t first, int64_t count) {
  for (auto* field : {&context.x_TD, &context.modality_T, &context.token_id_T, &context.sample_T, &context.state_TP,
                      &context.label_T})
    if (field->defined()) *field = field->narrow(0, first, count);
  return context;
}

// A router whose gate is the identity, so that its logits are the tokens: D = E.
inline std::shared_ptr<Router> with_identity_gate(const std::string& name, RouterConfig config) {
  config.name = name;
  config.model_dim = config.num_experts;
  auto router = make_router(config);
  const at::NoGradGuard no_grad;
  router->named_parameters()["weight"].copy_(at::eye(config.num_experts));
  return router;
}

// Text tokens that may use every expert.
inline RoutingContext text_context(const at::Tensor& x_TD, int64_t num_experts) {
  RoutingContext context;
  context.x_TD = x_TD;
  context.modality_T = at::zeros({x_TD.size(0)}, at::kByte);
  context.allowed_ME = allowed_table(one_group(num_experts), {});
  return context;
}

inline RoutingContext in_training(RoutingContext context, int64_t step = 0) {
  context.training = true;
  context.step = step;
  return context;
}

}  // namespace polyphony::moe
