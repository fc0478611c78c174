// SPDX-License-Identifier: Apache-2.0
// The table of all expert kinds. To add one: a file here with make_<name>_bank, and one X(...) row.
#include "core/check.h"
#include "moe/expert_bank.h"

// name, one-line summary, source
#define POLYPHONY_EXPERT_BANKS(X)                                              \
  X(feed_forward, "gated MLPs of one width, grouped into one fused operation", \
    "GLU variants (arXiv:2002.05202); MegaBlocks (arXiv:2211.15841)")

namespace polyphony::moe {

#define DECLARE(name, summary, source) std::shared_ptr<ExpertBank> make_##name##_bank(const ExpertBankConfig& config);
POLYPHONY_EXPERT_BANKS(DECLARE)
#undef DECLARE

namespace {

struct ExpertBankRow {
  const char* name;
  const char* summary;
  const char* source;
  std::shared_ptr<ExpertBank> (*make)(const ExpertBankConfig&);
};

#define ROW(name, summary, source) {#name, summary, source, &make_##name##_bank},
constexpr ExpertBankRow kExpertBanks[] = {POLYPHONY_EXPERT_BANKS(ROW)};
#undef ROW

}  // namespace

std::shared_ptr<ExpertBank> make_expert_bank(const ExpertBankConfig& config) {
  check<ConfigError>(config.model_dim >= 1, "[moe] model_dim must be at least 1, got ", config.model_dim);
  check<ConfigError>(config.num_experts >= 1, "[moe] num_experts must be at least 1, got ", config.num_experts);
  std::string names;
  for (const auto& row : kExpertBanks) {
    if (row.name == config.name) return row.make(config);
    names += names.empty() ? row.name : std::string(", ") + row.name;
  }
  fail<ConfigError>("[moe] experts must be one of ", names, "; got '", config.name, "'");
}

std::vector<ExpertBankInfo> expert_bank_infos() {
  std::vector<ExpertBankInfo> infos;
  for (const auto& row : kExpertBanks) infos.push_back({row.name, row.summary, row.source});
  return infos;
}

}  // namespace polyphony::moe
