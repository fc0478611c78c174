// SPDX-License-Identifier: Apache-2.0
// Whether a claim holds, by a rule that was fixed before the runs.
#pragma once
#include <string>
#include <vector>

#include "pipelines/study/record.h"

namespace polyphony::pipelines {

struct ClaimVerdict {
  bool holds = false;
  double value = 0;      // mean of the arm
  double against = 0;    // mean of what it is held against, factor included
  int64_t agreeing = 0;  // seeds in which the one is as claimed against the other
  int64_t num_seeds = 0;
};

// Arms are compared within a seed. Throws DataError if an arm lacks a run, a seed of the other arm, or the metric.
ClaimVerdict judge(const StudyClaim& claim, const std::vector<StudyRunRecord>& runs);

std::string to_string(ClaimRule rule);
// Throws DataError, with the known names, for another.
ClaimRule claim_rule_named(const std::string& name);

}  // namespace polyphony::pipelines
