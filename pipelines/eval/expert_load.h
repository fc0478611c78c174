// SPDX-License-Identifier: Apache-2.0
// Where a model's tokens went, as a table and as a figure. Standard library only.
// Shapes: M rows of a table, one a group of tokens (a modality, a denoising step, a place), E experts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct LayerLoad {
  std::vector<std::string> rows_M = {};            // names of the groups that had tokens
  std::vector<int64_t> tokens_M = {};              // how many
  std::vector<std::vector<double>> share_ME = {};  // of the group's routed rows; each row sums to 1
  double router_entropy = 0;                       // nats, mean over all tokens of the layer
};

struct ExpertLoad {
  std::string by = "modality";            // what the groups are
  std::vector<std::string> experts = {};  // E names, "text 0": group and place in it
  std::vector<LayerLoad> layers = {};
};

std::string to_json(const ExpertLoad& load);  // schema "polyphony.expert_load/2"

// A heat map a layer: a row for each group, a column for each expert that took a token, the share in percent. UTF-8
// SVG.
std::string expert_load_svg(const ExpertLoad& load);

}  // namespace polyphony::pipelines
