// SPDX-License-Identifier: Apache-2.0
// The registry of losses: a recipe names those it wants in [[moe.losses]], and any router composes with any loss that
// its routing can serve.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "moe/options.h"
#include "moe/routing.h"

namespace polyphony::moe {

// One [[moe.losses]] table.
struct LossConfig {
  std::string name = "expert_balance";  // key in moe/losses/registry.cpp
  double weight = 0.01;                 // multiplies the loss of each layer
  std::string unit = "row";             // row | token: what a choice counts against
  bool by_group = true;                 // each expert group is balanced by itself, over its own tokens
  int64_t num_devices = 1;              // equal runs of experts
  double dear_share = 0.75;             // wanted share of an expert that costs something against one that costs nothing

  static LossConfig from(const Section& section);  // throws ConfigError
  bool operator==(const LossConfig&) const = default;
};
const std::vector<Option<LossConfig>>& loss_options();

// What losses need beside a routing. What is undefined serves the losses that do without it.
struct LossInput {
  at::Tensor modality_T = {};  // u8
  std::vector<ExpertGroup> groups = {};
  at::Tensor sample_T = {};  // i64
  at::Tensor cost_E = {};    // f64 (E), what a row of each expert costs
  at::Tensor count_E = {};   // (E + Z), rows of the experts over the global batch; undefined: those of this routing
};

// Throws ConfigError for an unknown name, for settings out of range or that the loss does not take, and for a loss that
// is not one of a routing, and says which those are.
void check_loss(const LossConfig& config);
// Throws ConfigError saying why if routings like this one cannot serve the loss. `example` may have no tokens.
void check_loss_fits(const LossConfig& config, const Routing& example, const std::string& router);

// The loss of one routing, without its weight. f32 scalar.
at::Tensor auxiliary_loss(const LossConfig& config, const Routing& routing, const LossInput& input);

// The weighted sum over losses and layers. Throws ShapeError where the input lacks what a loss needs.
at::Tensor auxiliary_loss(const std::vector<LossConfig>& losses, const std::vector<Routing>& routings,
                          const LossInput& input);

struct LossInfo {
  std::string name;
  std::string summary;                   // one line
  std::string source;                    // paper, section
  std::vector<std::string> needs = {};   // of the routing, or what else it is a function of
  bool of_routing = true;                // false: called by those who have what it needs; no [[moe.losses]]
  std::vector<OptionInfo> options = {};  // keys of [[moe.losses]] that it takes
};
std::vector<LossInfo> loss_infos();

}  // namespace polyphony::moe
