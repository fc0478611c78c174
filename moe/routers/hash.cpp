// SPDX-License-Identifier: Apache-2.0
// Hash router: a token's id, or its sample's label, decides its experts, the same ones in every step; nothing learned.
// Source: Hash Layers (arXiv:2106.04426) section 3, random hash: each pair (id, expert) gets a pseudo-random rank from
// the seed, and the K highest-ranked allowed experts share the token evenly. By label: enforced routing
// (arXiv:2401.15713), one expert a domain in every layer.
#include <ATen/ATen.h>

#include "core/check.h"
#include "moe/routers/entry.h"
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
    const bool by_label = config_.hash_of == "label";
    return {.fixed_rows_per_token = true,
            .weights_sum_to_one = true,
            .learned = false,
            .needs_token_id = !by_label,
            .needs_label = by_label};
  }

  Routing route(const RoutingContext& context) override {
    const auto allowed_TE = allowed_of_token(context);
    const int64_t T = allowed_TE.size(0), K = rank_of(context, config_);
    Routing routing{.num_tokens = T, .num_experts = config_.num_experts};
    const auto rank_TE = rank_of_experts(context).masked_fill(~allowed_TE, -1);
    const auto expert_TK = top_indices(rank_TE, K);
    const auto count_T1 = allowed_TE.sum(1, /*keepdim=*/true).clamp(1, K);
    const auto weight_TK = (1.0 / count_T1.to(at::kFloat)).expand({T, K});
    set_rows(routing, {.expert_TK = expert_TK, .keep_TK = rank_TE.gather(1, expert_TK) >= 0}, weight_TK);
    return routing;
  }

 private:
  at::Tensor ids(const RoutingContext& context) const {
    const bool by_label = config_.hash_of == "label";
    const auto& id_T = by_label ? context.label_T : context.token_id_T;
    const int64_t T = context.x_TD.size(0), V = config_.hash_vocab_size;
    check<ShapeError>(id_T.defined() && id_T.dim() == 1 && id_T.size(0) == T && id_T.scalar_type() == at::kLong,
                      "[hash_router] ", config_.hash_of, by_label ? "" : "_id", " must be i64 (", T,
                      "): the router has nothing else to go by");
    if (V > 0 && T > 0) {
      const auto [low, high] = id_T.aminmax();
      check<ShapeError>(low.item<int64_t>() >= 0 && high.item<int64_t>() < V, "[hash_router] ids must be in [0, ", V,
                        "), hash_vocab_size, got ", low.item<int64_t>(), " to ", high.item<int64_t>());
    }
    return id_T.cpu().contiguous();
  }

  // i64 (T, E), not negative: what (seed, modality, id, expert) hashes to. Ids of two modalities mean different things.
  at::Tensor rank_of_experts(const RoutingContext& context) const {
    const auto id_T = ids(context);
    const auto modality_T = context.modality_T.cpu().contiguous();
    const int64_t T = id_T.size(0), E = config_.num_experts;
    auto rank_TE = at::empty({T, E}, at::kLong);
    const auto* id = id_T.const_data_ptr<int64_t>();
    const auto* modality = modality_T.const_data_ptr<uint8_t>();
    auto* rank = rank_TE.mutable_data_ptr<int64_t>();
    for (int64_t t = 0; t < T; ++t) {
      const uint64_t seed = mix(static_cast<uint64_t>(config_.hash_seed));
      const uint64_t key = mix(mix(seed ^ modality[t]) ^ static_cast<uint64_t>(id[t]));
      for (int64_t e = 0; e < E; ++e) rank[t * E + e] = static_cast<int64_t>(mix(key ^ static_cast<uint64_t>(e)) >> 1);
    }
    return rank_TE.to(context.x_TD.device());
  }

  RouterConfig config_;
};

}  // namespace

RouterEntry hash_router() {
  return {.summary = "fixed experts for each token id or label; nothing learned",
          .source = "Hash Layers (arXiv:2106.04426) 3; enforced routing (arXiv:2401.15713)",
          .options = {"experts_per_token", "hash_seed", "hash_of", "hash_vocab_size"},
          .make = &make_of<HashRouter>};
}

}  // namespace polyphony::moe
