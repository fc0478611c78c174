// SPDX-License-Identifier: Apache-2.0
#include "moe/expert_stats.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/check.h"
#include "moe/losses/router_entropy.h"

namespace polyphony::moe {
namespace {

using Counts = std::vector<int64_t>;

Counts values_of(const at::Tensor& counts) {
  const auto c = counts.cpu().contiguous();
  return {c.const_data_ptr<int64_t>(), c.const_data_ptr<int64_t>() + c.numel()};
}

void add(Counts& into, const Counts& from) {
  std::transform(into.begin(), into.end(), from.begin(), into.begin(), std::plus<>());
}

int64_t sum_of(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

std::vector<double> shares_of(const Counts& counts, int64_t num_experts) {
  const auto end = counts.begin() + num_experts;
  const auto total = std::accumulate(counts.begin(), end, int64_t{0});
  std::vector<double> shares(static_cast<size_t>(num_experts), 0.0);
  if (total > 0)
    std::transform(counts.begin(), end, shares.begin(),
                   [total](int64_t count) { return static_cast<double>(count) / static_cast<double>(total); });
  return shares;
}

double entropy_of(const std::vector<double>& shares) {
  double entropy = 0;
  for (const double share : shares) entropy -= share > 0 ? share * std::log(share) : 0.0;
  return entropy;
}

double deviation_over_mean(const std::vector<double>& shares) {
  const double mean = 1.0 / static_cast<double>(shares.size());
  double variance = 0;
  for (const double share : shares) variance += (share - mean) * (share - mean) * mean;
  return std::sqrt(variance) / mean;
}

void prepare(ExpertCounts& counts, int64_t num_experts, int64_t num_null) {
  if (counts.rows_ME.empty()) {
    counts.num_experts = num_experts;
    counts.num_null = num_null;
    counts.tokens_M.assign(kNumModalities, 0);
    counts.rows_ME.assign(kNumModalities, Counts(static_cast<size_t>(num_experts + num_null), 0));
  }
  check<ShapeError>(counts.num_experts == num_experts && counts.num_null == num_null, "[expert_stats] expected ",
                    counts.num_experts, " experts and ", counts.num_null, " null experts, got ", num_experts, " and ",
                    num_null);
}

}  // namespace

void add_routing(ExpertCounts& counts, const Routing& r, const at::Tensor& modality_T) {
  check<ShapeError>(modality_T.defined() && modality_T.dim() == 1 && modality_T.size(0) == r.num_tokens,
                    "[expert_stats] modality must be u8 (", r.num_tokens, ")");
  prepare(counts, r.num_experts, r.num_null);
  const at::NoGradGuard no_grad;
  const int64_t columns = r.num_experts + r.num_null;
  const auto modality = modality_T.to(at::kLong);
  add(counts.tokens_M, values_of(at::bincount(modality, {}, kNumModalities)));
  const auto all_cells_N = modality.index_select(0, r.token_N) * columns + r.expert_N;
  const auto cell_N = r.kept_N.defined() ? all_cells_N.masked_select(r.kept_N) : all_cells_N;
  counts.dropped_rows += all_cells_N.size(0) - cell_N.size(0);
  const auto rows = values_of(at::bincount(cell_N, {}, kNumModalities * columns));
  for (int64_t m = 0; m < kNumModalities; ++m)
    add(counts.rows_ME[m], Counts(rows.begin() + m * columns, rows.begin() + (m + 1) * columns));
  if (!r.logits_TE.defined()) return;
  counts.entropy_sum += router_entropy_loss(r).item<double>() * static_cast<double>(r.num_tokens);
  counts.entropy_tokens += r.num_tokens;
}

void add_routings(std::vector<ExpertCounts>& counts, const std::vector<Routing>& routings,
                  const at::Tensor& modality_T) {
  if (counts.empty()) counts.resize(routings.size());
  for (size_t layer = 0; layer < routings.size(); ++layer) add_routing(counts.at(layer), routings[layer], modality_T);
}

void merge(ExpertCounts& counts, const ExpertCounts& other) {
  if (other.rows_ME.empty()) return;
  prepare(counts, other.num_experts, other.num_null);
  add(counts.tokens_M, other.tokens_M);
  for (size_t m = 0; m < counts.rows_ME.size(); ++m) add(counts.rows_ME[m], other.rows_ME[m]);
  counts.dropped_rows += other.dropped_rows;
  counts.entropy_sum += other.entropy_sum;
  counts.entropy_tokens += other.entropy_tokens;
}

ExpertStats expert_stats(const ExpertCounts& counts) {
  ExpertStats stats;
  if (counts.rows_ME.empty()) return stats;
  const int64_t E = counts.num_experts;
  Counts rows(counts.rows_ME.front().size(), 0);
  for (const auto& of_modality : counts.rows_ME) add(rows, of_modality);
  stats.tokens = sum_of(counts.tokens_M);
  stats.rows = std::accumulate(rows.begin(), rows.begin() + E, int64_t{0});
  const int64_t all_rows = sum_of(rows);
  if (stats.tokens > 0) stats.experts_per_token = static_cast<double>(stats.rows) / static_cast<double>(stats.tokens);
  if (all_rows > 0) stats.null_share = static_cast<double>(all_rows - stats.rows) / static_cast<double>(all_rows);
  if (all_rows + counts.dropped_rows > 0)
    stats.dropped_share =
        static_cast<double>(counts.dropped_rows) / static_cast<double>(all_rows + counts.dropped_rows);
  stats.load_E = shares_of(rows, E);
  if (stats.rows > 0) {
    stats.load_entropy = E > 1 ? entropy_of(stats.load_E) / std::log(static_cast<double>(E)) : 1.0;
    stats.coefficient_of_variation = deviation_over_mean(stats.load_E);
    stats.max_over_mean = *std::max_element(stats.load_E.begin(), stats.load_E.end()) * static_cast<double>(E);
  }
  if (counts.entropy_tokens > 0) stats.router_entropy = counts.entropy_sum / static_cast<double>(counts.entropy_tokens);
  for (int64_t e = 0; e < E; ++e)
    if (rows[e] == 0) stats.dead_experts.push_back(e);
  for (int64_t m = 0; m < kNumModalities; ++m) {
    if (counts.tokens_M[m] == 0) continue;
    stats.modalities.emplace_back(kModalityNames[m]);
    stats.tokens_by_modality.push_back(counts.tokens_M[m]);
    stats.load_by_modality.push_back(shares_of(counts.rows_ME[m], E));
  }
  return stats;
}

void to_json(nlohmann::json& json, const ExpertStats& s) {
  json = {{"tokens", s.tokens},
          {"rows", s.rows},
          {"experts_per_token", s.experts_per_token},
          {"null_share", s.null_share},
          {"dropped_share", s.dropped_share},
          {"load", s.load_E},
          {"load_entropy", s.load_entropy},
          {"coefficient_of_variation", s.coefficient_of_variation},
          {"max_over_mean", s.max_over_mean},
          {"router_entropy", s.router_entropy},
          {"dead_experts", s.dead_experts}};
  for (size_t m = 0; m < s.modalities.size(); ++m)
    json["modalities"][s.modalities[m]] = {{"tokens", s.tokens_by_modality[m]}, {"load", s.load_by_modality[m]}};
}

}  // namespace polyphony::moe
