// SPDX-License-Identifier: Apache-2.0
// The registry's rows without its types.
#include "pipelines/routers.h"

#include "moe/router.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {

std::vector<RouterRow> known_routers() {
  std::vector<RouterRow> rows;
  for (const auto& info : moe::router_infos()) rows.push_back({info.name, info.summary, info.source});
  return rows;
}

std::string to_json(const std::vector<RouterRow>& routers) {
  auto rows = nlohmann::json::array();
  for (const auto& row : routers)
    rows.push_back({{"name", row.name}, {"summary", row.summary}, {"source", row.source}});
  return dump_json({{"schema", "polyphony.routers/1"}, {"routers", rows}});
}

}  // namespace polyphony::pipelines
