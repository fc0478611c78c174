// SPDX-License-Identifier: Apache-2.0
// What each kind's file says of itself; registry.cpp lists them.
#pragma once
#include <string_view>

#include "moe/expert_bank.h"

namespace polyphony::moe {

struct ExpertBankEntry {
  std::string summary;                    // one line
  std::string source;                     // paper, section
  std::vector<std::string_view> options;  // keys of expert_bank_options() that it takes beside those of all kinds
  std::shared_ptr<ExpertBank> (*make)(const ExpertBankConfig& config);  // throws ConfigError
};

// make for a class whose constructor takes the config and checks it.
template <class Bank>
std::shared_ptr<ExpertBank> bank_of(const ExpertBankConfig& config) {
  return std::make_shared<Bank>(config);
}

// `bank` on the centroids of similar rows. Source: LSH-MoE (arXiv:2411.08446); see lsh.cpp.
std::shared_ptr<ExpertBank> compress_rows(std::shared_ptr<ExpertBank> bank, const ExpertBankConfig& config);

}  // namespace polyphony::moe
