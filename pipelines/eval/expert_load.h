// SPDX-License-Identifier: Apache-2.0
// Where a model's tokens went, as a table and as a figure. Standard library only.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace polyphony::pipelines {

// One layer. Shapes: M modalities that had tokens, E experts.
struct LayerLoad {
  std::vector<std::string> modalities = {};
  std::vector<int64_t> tokens_M = {};
  std::vector<std::vector<double>> share_ME = {};  // of the modality's rows; each row sums to 1
  double router_entropy = 0;                       // nats, mean over tokens
};

struct ExpertLoad {
  std::vector<std::string> experts = {};  // E names, "text 0": group and place in it
  std::vector<LayerLoad> layers = {};
};

std::string to_json(const ExpertLoad& load);  // schema "polyphony.expert_load/1"

// A heat map a layer: a row for each modality, a column for each expert, the share in percent. UTF-8 SVG.
std::string expert_load_svg(const ExpertLoad& load);

}  // namespace polyphony::pipelines
