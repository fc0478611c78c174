// SPDX-License-Identifier: Apache-2.0
// The table of all routers. To add one: a file here with make_<name>_router, and one X(...) row.
#include "core/check.h"
#include "moe/router.h"

// name, one-line summary, source
#define POLYPHONY_ROUTERS(X)                                                                            \
  X(topk, "takes the K best experts; all published normalisations, choice bias, limited expert groups", \
    "Mixtral (arXiv:2401.04088) 2.1; DeepSeek-V3 (arXiv:2412.19437) 2.1.2")                             \
  X(top_p, "takes experts until their probabilities pass p: harder tokens get more",                    \
    "Dynamic routing (arXiv:2403.07652) 3")                                                             \
  X(null_experts, "top-k over true and null experts: easier tokens spend fewer true ones",              \
    "AdaMoE (arXiv:2406.13233) 3")                                                                      \
  X(expert_choice, "each expert takes its best tokens within its modalities; fixed load, not causal",   \
    "MoMa (arXiv:2407.21770) 2.2; Expert Choice (arXiv:2202.09368)")                                    \
  X(recurrent, "top-k on the state of a GRU cell that all layers share", "RMoE (arXiv:2408.06793) 3")   \
  X(hash, "fixed experts for each token id; nothing learned", "Hash Layers (arXiv:2106.04426) 3")       \
  X(uniform, "round-robin without parameters: the balanced baseline and the template for a new router", \
    "Polyphony, docs/adding_a_router.md")

namespace polyphony::moe {

#define DECLARE(name, summary, source) std::shared_ptr<Router> make_##name##_router(const RouterConfig& config);
POLYPHONY_ROUTERS(DECLARE)
#undef DECLARE

namespace {

struct RouterRow {
  const char* name;
  const char* summary;
  const char* source;
  std::shared_ptr<Router> (*make)(const RouterConfig&);
};

#define ROW(name, summary, source) {#name, summary, source, &make_##name##_router},
constexpr RouterRow kRouters[] = {POLYPHONY_ROUTERS(ROW)};
#undef ROW

}  // namespace

std::shared_ptr<Router> make_router(const RouterConfig& config) {
  std::string names;
  for (const auto& row : kRouters) {
    if (row.name == config.name) return row.make(config);
    names += names.empty() ? row.name : std::string(", ") + row.name;
  }
  fail<ConfigError>("[moe] router must be one of ", names, "; got '", config.name, "'");
}

std::vector<RouterInfo> router_infos() {
  std::vector<RouterInfo> infos;
  for (const auto& row : kRouters) infos.push_back({row.name, row.summary, row.source});
  return infos;
}

}  // namespace polyphony::moe
