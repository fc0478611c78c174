// SPDX-License-Identifier: Apache-2.0
// The list of all expert kinds. To add one: a file here with <name>_bank(), and its name below.
#include <algorithm>
#include <array>

#include "core/check.h"
#include "moe/experts/entry.h"

#define POLYPHONY_EXPERT_BANKS(X) \
  X(feed_forward)                 \
  X(sized)                        \
  X(zero_computation)             \
  X(lora)                         \
  X(adapter)

namespace polyphony::moe {

#define DECLARE(name) ExpertBankEntry name##_bank();
POLYPHONY_EXPERT_BANKS(DECLARE)
#undef DECLARE

namespace {

constexpr std::array<std::string_view, 3> kOfAll = {"compute_dtype", "lsh_hashes", "lsh_seed"};

struct Row {
  std::string name;
  ExpertBankEntry entry;
};

const std::vector<Row>& rows() {
#define ROW(name) {#name, name##_bank()},
  static const std::vector<Row> all = {POLYPHONY_EXPERT_BANKS(ROW)};
#undef ROW
  return all;
}

const ExpertBankEntry& find(const std::string& name) {
  std::string names;
  for (const auto& row : rows()) {
    if (row.name == name) return row.entry;
    names += (names.empty() ? "" : ", ") + row.name;
  }
  fail<ConfigError>("[moe] experts must be one of ", names, "; got '", name, "'");
}

bool takes(const ExpertBankEntry& entry, std::string_view key) {
  return std::find(entry.options.begin(), entry.options.end(), key) != entry.options.end() ||
         std::find(kOfAll.begin(), kOfAll.end(), key) != kOfAll.end();
}

void check_settings(const ExpertBankEntry& entry, const ExpertBankConfig& config) {
  check<ConfigError>(config.model_dim >= 1, "[moe] model_dim must be at least 1, got ", config.model_dim);
  check<ConfigError>(config.num_experts >= 1, "[moe] num_experts must be at least 1, got ", config.num_experts);
  const ExpertBankConfig unset;
  for (const auto& option : expert_bank_options()) {
    check_option(option, config);
    const auto value = value_of(option, config);
    check<ConfigError>(takes(entry, option.key) || value == value_of(option, unset), "[moe] experts '", config.name,
                       "' take no ", option.key, " (got ", to_text(value), ")");
  }
  check<ConfigError>(!takes(entry, "expert_hidden") || config.expert_hidden >= 1,
                     "[moe] expert_hidden must be at least 1, got ", config.expert_hidden);
}

}  // namespace

std::shared_ptr<ExpertBank> make_expert_bank(const ExpertBankConfig& config) {
  const auto& entry = find(config.name);
  check_settings(entry, config);
  auto bank = entry.make(config);
  return config.lsh_hashes == 0 ? bank : compress_rows(std::move(bank), config);
}

bool expert_bank_takes(const std::string& name, std::string_view key) { return takes(find(name), key); }

std::vector<ExpertBankInfo> expert_bank_infos() {
  std::vector<ExpertBankInfo> infos;
  for (const auto& [name, entry] : rows()) {
    infos.push_back({.name = name, .summary = entry.summary, .source = entry.source});
    for (const auto& option : expert_bank_options())
      if (takes(entry, option.key)) infos.back().options.push_back(option_info(option, ExpertBankConfig{}));
  }
  return infos;
}

}  // namespace polyphony::moe
