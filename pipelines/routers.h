// SPDX-License-Identifier: Apache-2.0
// The routers that a recipe can name, as text. Standard library only.
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
std::string to_text(const std::vector<RouterRow>& routers);
std::string to_json(const std::vector<RouterRow>& routers);  // schema "polyphony.routers/1"

}  // namespace polyphony::pipelines
