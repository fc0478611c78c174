// SPDX-License-Identifier: Apache-2.0
// The registry's rows without its types.
#include "pipelines/routers.h"

#include "moe/router.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {

std::vector<RouterRow> known_routers() {
  std::vector<RouterRow> rows;
  for (const auto& info : moe::router_infos()) {
    rows.push_back({.name = info.name, .summary = info.summary, .source = info.source});
    for (const auto& o : info.options) rows.back().options.push_back({o.key, o.allowed, o.default_value, o.summary});
  }
  return rows;
}

std::string to_text(const std::vector<RouterRow>& routers) {
  std::string text;
  for (const auto& row : routers) {
    text += (text.empty() ? "" : "\n") + row.name + ": " + row.summary + " (" + row.source + ")";
    for (const auto& o : row.options)
      text += "\n    " + o.key + " = " + o.default_value + "  # " + o.allowed + ": " + o.summary;
  }
  return text;
}

std::string to_json(const std::vector<RouterRow>& routers) {
  auto rows = nlohmann::json::array();
  for (const auto& row : routers) {
    auto options = nlohmann::json::array();
    for (const auto& o : row.options)
      options.push_back({{"key", o.key}, {"allowed", o.allowed}, {"default", o.default_value}, {"summary", o.summary}});
    rows.push_back({{"name", row.name}, {"summary", row.summary}, {"source", row.source}, {"options", options}});
  }
  return dump_json({{"schema", "polyphony.routers/1"}, {"routers", rows}});
}

}  // namespace polyphony::pipelines
