// SPDX-License-Identifier: Apache-2.0
// The routers that a recipe can name, as text. Standard library only.
#pragma once
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct RouterRow {
  std::string name;
  std::string summary;
  std::string source;  // paper, section
};

std::vector<RouterRow> known_routers();
std::string to_json(const std::vector<RouterRow>& routers);  // schema "polyphony.routers/1"

}  // namespace polyphony::pipelines
