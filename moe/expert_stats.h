// SPDX-License-Identifier: Apache-2.0
// What the experts did over many batches: how evenly they were used, by whom, and which are dead.
// Shapes: E routed experts, Z null experts, M modalities.
#pragma once
#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "moe/routing.h"

namespace polyphony::moe {

// Counts; add those of several devices or layers with merge().
struct ExpertCounts {
  int64_t num_experts = 0;                         // E
  int64_t num_null = 0;                            // Z
  std::vector<int64_t> tokens_M = {};              // tokens seen, by modality
  std::vector<std::vector<int64_t>> rows_ME = {};  // rows, by modality and expert; E + Z columns
  int64_t dropped_rows = 0;                        // by a capacity; not among rows_ME
  double entropy_sum = 0;                          // nats, over the tokens of routers with logits
  int64_t entropy_tokens = 0;
};

// Adds one routing. modality_T: u8 (T). Throws ShapeError if the number of experts changes between calls.
void add_routing(ExpertCounts& counts, const Routing& routing, const at::Tensor& modality_T);
// One forward pass: routings[l] is added to counts[l], which an empty vector grows to fit.
void add_routings(std::vector<ExpertCounts>& counts, const std::vector<Routing>& routings,
                  const at::Tensor& modality_T);
void merge(ExpertCounts& counts, const ExpertCounts& other);

// Figures of the counts; all finite, 0 where there is nothing to divide by. Null experts count only in null_share.
struct ExpertStats {
  int64_t tokens = 0;
  int64_t rows = 0;                                        // rows of routed experts
  double experts_per_token = 0;                            // rows / tokens
  double null_share = 0;                                   // rows of null experts / all rows
  double dropped_share = 0;                                // rows that a capacity dropped / rows demanded
  std::vector<double> load_E = {};                         // share of the rows; sums to 1
  double load_entropy = 0;                                 // of load_E over log E: 1 even, 0 one expert does all
  double coefficient_of_variation = 0;                     // standard deviation over mean of load_E
  double max_over_mean = 0;                                // busiest expert against the mean: what a step waits for
  double router_entropy = 0;                               // nats, mean over tokens
  std::vector<int64_t> dead_experts = {};                  // experts without a row
  std::vector<std::string> modalities = {};                // those that had tokens,
  std::vector<int64_t> tokens_by_modality = {};            // how many,
  std::vector<std::vector<double>> load_by_modality = {};  // and their share of rows per expert
};

ExpertStats expert_stats(const ExpertCounts& counts);
void to_json(nlohmann::json& json, const ExpertStats& stats);

}  // namespace polyphony::moe
