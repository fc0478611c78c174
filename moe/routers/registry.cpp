// SPDX-License-Identifier: Apache-2.0
// The list of all routers. To add one: a file here with <name>_router(), and its name below.
#include <algorithm>

#include "core/check.h"
#include "moe/routers/entry.h"

#define POLYPHONY_ROUTERS(X) \
  X(topk)                    \
  X(switch)                  \
  X(device_limited)          \
  X(sigmoid_bias)            \
  X(gshard)                  \
  X(noisy_topk)              \
  X(cosine)                  \
  X(laplace)                 \
  X(sparse_mixer)            \
  X(top_p)                   \
  X(null_experts)            \
  X(dynamic_capacity)        \
  X(gating_residual)         \
  X(dense_to_sparse)         \
  X(dense_training)          \
  X(dselect_k)               \
  X(tree)                    \
  X(expert_choice)           \
  X(causal_expert_choice)    \
  X(image_choice)            \
  X(pool_choice)             \
  X(mixture_of_depths)       \
  X(base)                    \
  X(soft)                    \
  X(recurrent)               \
  X(one_decision)            \
  X(pre_gated)               \
  X(pathway)                 \
  X(sample_select)           \
  X(patch_select)            \
  X(attention_weighted)      \
  X(label_aware)             \
  X(hash)                    \
  X(stochastic)              \
  X(uniform)

namespace polyphony::moe {

#define DECLARE(name) RouterEntry name##_router();
POLYPHONY_ROUTERS(DECLARE)
#undef DECLARE

namespace {

struct Row {
  std::string name;
  RouterEntry entry;
};

const std::vector<Row>& rows() {
#define ROW(name) {#name, name##_router()},
  static const std::vector<Row> all = {POLYPHONY_ROUTERS(ROW)};
#undef ROW
  return all;
}

const RouterEntry& find(const std::string& name) {
  std::string names;
  for (const auto& row : rows()) {
    if (row.name == name) return row.entry;
    names += (names.empty() ? "" : ", ") + row.name;
  }
  fail<ConfigError>("[moe] router must be one of ", names, "; got '", name, "'");
}

bool takes(const RouterEntry& entry, std::string_view key) {
  return std::find(entry.options.begin(), entry.options.end(), key) != entry.options.end();
}

std::string taken_keys(const RouterEntry& entry) {
  std::string keys;
  for (const auto key : entry.options) keys += (keys.empty() ? "" : ", ") + std::string(key);
  return keys.empty() ? "none of them" : keys;
}

// The config with what the router does not take as its name has it. Throws ConfigError.
RouterConfig checked(const RouterEntry& entry, RouterConfig c) {
  check<ConfigError>(c.model_dim >= 1, "[moe] model_dim must be at least 1, got ", c.model_dim);
  check<ConfigError>(c.num_experts >= 1, "[moe] num_experts must be at least 1, got ", c.num_experts);
  check<ConfigError>(c.num_layers >= 1 && c.layer >= 0 && c.layer < c.num_layers, "[moe] layer must be in [0, ",
                     c.num_layers, "), got ", c.layer);
  const RouterConfig unset;
  for (const auto& option : router_options()) {
    check_option(option, c);
    const auto value = value_of(option, c);
    if (!takes(entry, option.key) && value != value_of(option, unset) && value != value_of(option, entry.defaults))
      fail<ConfigError>("[moe] router '", c.name, "' takes no ", option.key, " (got ", to_text(value), "); it takes ",
                        taken_keys(entry));
    if (!takes(entry, option.key)) std::visit([&](auto field) { c.*field = entry.defaults.*field; }, option.field);
  }
  if (takes(entry, "experts_per_token"))
    check<ConfigError>(c.experts_per_token <= c.num_experts + c.num_null, "[moe] experts_per_token must be in [1, ",
                       c.num_experts + c.num_null, "], got ", c.experts_per_token);
  return c;
}

}  // namespace

std::shared_ptr<Router> make_router(const RouterConfig& config) {
  const auto& entry = find(config.name);
  return entry.make(checked(entry, config));
}

RouterConfig router_defaults(const std::string& name) {
  auto config = find(name).defaults;
  config.name = name;
  return config;
}

bool router_takes(const std::string& name, std::string_view key) { return takes(find(name), key); }

std::vector<std::pair<std::string, OptionValue>> router_values(const RouterConfig& config) {
  std::vector<std::pair<std::string, OptionValue>> values = {{"router", config.name}};
  for (const auto& option : router_options())
    if (router_takes(config.name, option.key)) values.emplace_back(option.key, value_of(option, config));
  return values;
}

// A key that the router does not take is read only where it is given, so that make_router can say so.
RouterConfig read_router(const Section& moe) {
  const std::string name = moe.text("router", "topk");
  auto router = router_defaults(name);
  router.num_experts = moe.integer("num_experts", 0, {0, 1 << 30});
  for (const auto& option : router_options())
    if (router_takes(name, option.key) || moe.has(option.key)) read_option(moe, option, router);
  return router;
}

std::vector<RouterInfo> router_infos() {
  std::vector<RouterInfo> infos;
  for (const auto& [name, entry] : rows()) {
    infos.push_back({.name = name, .summary = entry.summary, .source = entry.source});
    for (const auto& option : router_options())
      if (takes(entry, option.key)) infos.back().options.push_back(option_info(option, entry.defaults));
  }
  return infos;
}

}  // namespace polyphony::moe
