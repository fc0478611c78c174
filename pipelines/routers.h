// SPDX-License-Identifier: Apache-2.0
// What a recipe's [moe] can name, as text: routers, experts, losses. Standard library only.
#pragma once
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct RouterOptionRow {
  std::string key;            // in a recipe's [moe] table
  std::string allowed;        // "number in [0, 1]"
  std::string default_value;  // as a recipe writes it
  std::string summary;
};

struct RouterRow {
  std::string name;
  std::string summary;
  std::string source;  // paper, section
  std::vector<RouterOptionRow> options = {};
};

std::vector<RouterRow> known_routers();
std::vector<RouterRow> known_experts();  // expert kinds of a layer, then blocks and layers of experts
std::vector<RouterRow> known_losses();   // of [[moe.losses]], then those that are called with what they need
std::string to_text(const std::vector<RouterRow>& rows);
// `what` is routers, experts or losses: schema "polyphony.<what>/1", and the rows under that key.
std::string to_json(const std::vector<RouterRow>& rows, const std::string& what = "routers");

}  // namespace polyphony::pipelines
