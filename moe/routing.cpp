// SPDX-License-Identifier: Apache-2.0
#include "moe/routing.h"

#include <ATen/ATen.h>

#include <limits>
#include <numeric>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor allowed_of_token(const RoutingContext& context) {
  const auto& x = context.x_TD;
  const auto& modality = context.modality_T;
  const auto& allowed = context.allowed_ME;
  check<ShapeError>(x.defined() && x.dim() == 2, "[router] x must be (T, D), got ", x.defined() ? x.dim() : 0, " axes");
  check<ShapeError>(
      modality.defined() && modality.dim() == 1 && modality.size(0) == x.size(0) && modality.scalar_type() == at::kByte,
      "[router] modality must be u8 (", x.size(0), ")");
  check<ShapeError>(allowed.defined() && allowed.dim() == 2 && allowed.scalar_type() == at::kBool,
                    "[router] allowed must be bool (M, E)");
  check<ShapeError>(allowed.device() == x.device() && modality.device() == x.device(),
                    "[router] x, modality and allowed must be on one device");
  if (x.size(0) > 0) {
    const auto highest = modality.max().item<int64_t>();
    check<ShapeError>(highest < allowed.size(0), "[router] modality must be below ", allowed.size(0), ", got ",
                      highest);
  }
  const auto allowed_TE = allowed.index_select(0, modality.to(at::kLong));
  // Softmax over a row without any allowed expert would be NaN.
  check<ShapeError>(x.size(0) == 0 || allowed_TE.any(1).all().item<bool>(),
                    "[router] a token has a modality that no expert group admits");
  return allowed_TE;
}

at::Tensor mask_logits(const at::Tensor& logits_TE, const at::Tensor& allowed_TE) {
  const int64_t num_null = logits_TE.size(1) - allowed_TE.size(1);
  check<ShapeError>(num_null >= 0 && logits_TE.size(0) == allowed_TE.size(0), "[router] logits ", logits_TE.sizes(),
                    " do not fit the table of allowed experts ", allowed_TE.sizes());
  const auto allowed = num_null == 0 ? allowed_TE : at::constant_pad_nd(allowed_TE, {0, num_null}, true);
  return logits_TE.to(at::promote_types(logits_TE.scalar_type(), at::kFloat))
      .masked_fill(~allowed, -std::numeric_limits<float>::infinity());
}

namespace {

// f64 serves tests of gradients.
bool is_f32_or_f64(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble;
}

void check_rows(const at::Tensor& ids, int64_t N, int64_t bound, const char* what) {
  check<ShapeError>(ids.defined() && ids.dim() == 1 && ids.size(0) == N && ids.scalar_type() == at::kLong, "[routing] ",
                    what, " must be i64 (", N, ")");
  if (N == 0) return;
  const auto [low, high] = ids.aminmax();
  check<ShapeError>(low.item<int64_t>() >= 0 && high.item<int64_t>() < bound, "[routing] ", what, " must be in [0, ",
                    bound, "), got ", low.item<int64_t>(), " to ", high.item<int64_t>());
}

void check_table(const at::Tensor& table, const Routing& r, const char* what) {
  check<ShapeError>(!table.defined() || (table.dim() == 2 && table.size(0) == r.num_tokens &&
                                         table.size(1) == r.num_experts + r.num_null && is_f32_or_f64(table)),
                    "[routing] ", what, " must be f32 (", r.num_tokens, ", ", r.num_experts + r.num_null, ")");
}

}  // namespace

void check_routing(const Routing& r) {
  check<ShapeError>(r.num_tokens >= 0 && r.num_experts >= 1 && r.num_null >= 0,
                    "[routing] expected at least one expert and no negative counts, got ", r.num_tokens, " tokens, ",
                    r.num_experts, " experts, ", r.num_null, " null experts");
  check<ShapeError>(r.weight_N.defined() && r.weight_N.dim() == 1 && is_f32_or_f64(r.weight_N),
                    "[routing] weight must be f32 (N)");
  const int64_t N = r.weight_N.size(0);
  check_rows(r.token_N, N, r.num_tokens, "token");
  check_rows(r.expert_N, N, r.num_experts + r.num_null, "expert");
  check<ShapeError>(N == 0 || r.weight_N.detach().isfinite().all().item<bool>(), "[routing] weights must be finite");
  check<ShapeError>(
      !r.kept_N.defined() || (r.kept_N.dim() == 1 && r.kept_N.size(0) == N && r.kept_N.scalar_type() == at::kBool),
      "[routing] kept must be bool (", N, ")");
  check_table(r.logits_TE, r, "logits");
  check_table(r.score_TE, r, "score");
}

at::Tensor allowed_table(const std::vector<ExpertGroup>& groups, const std::vector<Modality>& used) {
  check<ConfigError>(!groups.empty(), "[moe.groups] expected at least one expert group, got none");
  for (const auto& group : groups)
    check<ConfigError>(group.num_experts > 0, "[moe.groups] group '", group.name,
                       "' must have at least one expert, got ", group.num_experts);
  const int64_t E = std::accumulate(groups.begin(), groups.end(), int64_t{0},
                                    [](int64_t sum, const ExpertGroup& group) { return sum + group.num_experts; });
  auto allowed_ME = at::zeros({kNumModalities, E}, at::kBool);
  int64_t first = 0;
  for (const auto& group : groups) {
    auto columns = allowed_ME.narrow(1, first, group.num_experts);
    if (group.modalities.empty()) columns.fill_(true);
    for (const auto modality : group.modalities) columns.select(0, static_cast<int64_t>(modality)).fill_(true);
    first += group.num_experts;
  }
  for (const auto modality : used)
    check<ConfigError>(allowed_ME.select(0, static_cast<int64_t>(modality)).any().item<bool>(),
                       "[moe.groups] no expert group admits the modality '", modality_name(modality), "'");
  return allowed_ME;
}

}  // namespace polyphony::moe
