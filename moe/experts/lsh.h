// SPDX-License-Identifier: Apache-2.0
// What compressed dispatch saves.
#pragma once
#include <cstdint>

#include "moe/expert_bank.h"

namespace polyphony::moe {

struct JoinedRows {
  int64_t rows = 0;     // that experts were asked for,
  int64_t buckets = 0;  // and that travelled and were computed instead
};

// Sums over all forward passes of the bank; zeros for one that compresses nothing (lsh_hashes 0).
JoinedRows joined_rows(const ExpertBank& bank);

}  // namespace polyphony::moe
