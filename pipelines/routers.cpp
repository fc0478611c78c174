// SPDX-License-Identifier: Apache-2.0
// The registries' rows without their types.
#include "pipelines/routers.h"

#include "moe/blocks/infos.h"
#include "moe/expert_bank.h"
#include "moe/losses/registry.h"
#include "moe/router.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

std::vector<RouterOptionRow> rows_of(const std::vector<moe::OptionInfo>& options) {
  std::vector<RouterOptionRow> rows;
  for (const auto& o : options) rows.push_back({o.key, o.allowed, o.default_value, o.summary});
  return rows;
}

}  // namespace

std::vector<RouterRow> known_routers() {
  std::vector<RouterRow> rows;
  for (const auto& info : moe::router_infos())
    rows.push_back(
        {.name = info.name, .summary = info.summary, .source = info.source, .options = rows_of(info.options)});
  return rows;
}

std::vector<RouterRow> known_experts() {
  std::vector<RouterRow> rows;
  for (const auto& info : moe::expert_bank_infos())
    rows.push_back(
        {.name = info.name, .summary = info.summary, .source = info.source, .options = rows_of(info.options)});
  for (const auto& info : moe::expert_block_infos())
    rows.push_back({.name = info.name, .summary = info.summary + "; " + info.where, .source = info.source});
  return rows;
}

std::vector<RouterRow> known_losses() {
  std::vector<RouterRow> rows;
  for (const auto& info : moe::loss_infos()) {
    std::string needs;
    for (const auto& need : info.needs) needs += (needs.empty() ? "; needs " : ", ") + need;
    rows.push_back(
        {.name = info.name, .summary = info.summary + needs, .source = info.source, .options = rows_of(info.options)});
  }
  return rows;
}

std::string to_text(const std::vector<RouterRow>& rows) {
  std::string text;
  for (const auto& row : rows) {
    text += (text.empty() ? "" : "\n") + row.name + ": " + row.summary + " (" + row.source + ")";
    for (const auto& o : row.options)
      text += "\n    " + o.key + " = " + o.default_value + "  # " + o.allowed + ": " + o.summary;
  }
  return text;
}

std::string to_json(const std::vector<RouterRow>& rows, const std::string& what) {
  auto list = nlohmann::json::array();
  for (const auto& row : rows) {
    auto options = nlohmann::json::array();
    for (const auto& o : row.options)
      options.push_back({{"key", o.key}, {"allowed", o.allowed}, {"default", o.default_value}, {"summary", o.summary}});
    list.push_back({{"name", row.name}, {"summary", row.summary}, {"source", row.source}, {"options", options}});
  }
  return dump_json({{"schema", "polyphony." + what + "/1"}, {what, list}});
}

}  // namespace polyphony::pipelines
