// SPDX-License-Identifier: Apache-2.0
// Hash router: a token's id decides its experts, the same ones in every step; nothing is learned.
// Source: Hash Layers (arXiv:2106.04426) section 3, random hash. Instead of a stored table each pair (id, expert) gets
// a pseudo-random rank from the seed, and the K highest-ranked allowed experts share the token evenly.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {
namespace {

// splitmix64's output function: every input bit reaches every output bit.
uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

class HashRouter final : public Router {
 public:
  explicit HashRouter(const RouterConfig& config) : config_(config) {}

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = true, .learned = false};
  }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0), E = config_.num_experts, K = rank_of(context, config_);
    check<ShapeError>(context.token_id_T.defined() && context.token_id_T.dim() == 1 &&
                          context.token_id_T.size(0) == T && context.token_id_T.scalar_type() == at::kLong,
                      "[hash_router] token_id must be i64 (", T, "): the router has nothing else to go by");
    Routing routing{.num_tokens = T, .num_experts = E};
    const auto rank_TE = rank_of_experts(context).masked_fill(~allowed_TE, -1);
    const auto expert_TK = top_indices(rank_TE, K);
    const auto count_T1 = allowed_TE.sum(1, /*keepdim=*/true).clamp(1, K);
    const auto weight_TK = (1.0 / count_T1.to(at::kFloat)).expand({T, K});
    set_rows(routing, {.expert_TK = expert_TK, .keep_TK = rank_TE.gather(1, expert_TK) >= 0}, weight_TK);
    return routing;
  }

 private:
  // i64 (T, E), not negative: what (seed, modality, id, expert) hashes to. Ids of two modalities mean different things.
  at::Tensor rank_of_experts(const RoutingContext& context) const {
    const auto id_T = context.token_id_T.cpu().contiguous();
    const auto modality_T = context.modality_T.cpu().contiguous();
    const int64_t T = id_T.size(0), E = config_.num_experts;
    auto rank_TE = at::empty({T, E}, at::kLong);
    const auto* id = id_T.const_data_ptr<int64_t>();
    const auto* modality = modality_T.const_data_ptr<uint8_t>();
    auto* rank = rank_TE.mutable_data_ptr<int64_t>();
    for (int64_t t = 0; t < T; ++t) {
      const uint64_t key = mix(mix(mix(config_.hash_seed) ^ modality[t]) ^ static_cast<uint64_t>(id[t]));
      for (int64_t e = 0; e < E; ++e) rank[t * E + e] = static_cast<int64_t>(mix(key ^ static_cast<uint64_t>(e)) >> 1);
    }
    return rank_TE.to(context.x_TD.device());
  }

  RouterConfig config_;
};

}  // namespace

std::shared_ptr<Router> make_hash_router(const RouterConfig& config) {
  check_router_sizes(config);
  refuse_topk_settings(config);
  refuse_null_experts(config);
  return std::make_shared<HashRouter>(config);
}

}  // namespace polyphony::moe
