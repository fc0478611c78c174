// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/judge.h"

#include <cmath>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

constexpr double kTolerance = 0.005;  // of not_worse, relative

struct Rule {
  ClaimRule rule;
  const char* name;
  bool (*is_so)(double value, double against);
  bool by_seed;  // all seeds but one must agree too
};

constexpr Rule kRules[] = {
    {ClaimRule::lower, "lower", [](double value, double against) { return value < against; }, true},
    {ClaimRule::higher, "higher", [](double value, double against) { return value > against; }, true},
    {ClaimRule::not_worse, "not_worse",
     [](double value, double against) { return value <= against + kTolerance * std::abs(against); }, false},
};

const Rule& row_of(ClaimRule rule) { return kRules[static_cast<size_t>(rule)]; }

// What each seed of the arm is held against.
std::map<uint64_t, double> reference(const StudyClaim& claim, const std::vector<StudyRunRecord>& runs,
                                     const std::map<uint64_t, double>& values) {
  std::map<uint64_t, double> out;
  if (claim.than.empty()) {
    for (const auto& [seed, value] : values) out[seed] = claim.factor;
    return out;
  }
  for (const auto& [seed, value] : values_of(runs, claim.than, claim.metric)) out[seed] = claim.factor * value;
  return out;
}

}  // namespace

ClaimVerdict judge(const StudyClaim& claim, const std::vector<StudyRunRecord>& runs) {
  const auto& rule = row_of(claim.rule);
  const auto values = values_of(runs, claim.arm, claim.metric);
  const auto against = reference(claim, runs, values);
  check<DataError>(values.size() == against.size(), "[study] arms '", claim.arm, "' and '", claim.than,
                   "' were run with different seeds");
  ClaimVerdict verdict{.value = mean_and_spread(values).mean,
                       .against = mean_and_spread(against).mean,
                       .num_seeds = static_cast<int64_t>(values.size())};
  for (const auto& [seed, value] : values) {
    const auto other = against.find(seed);
    check<DataError>(other != against.end(), "[study] arm '", claim.than, "' was not run with seed ", seed);
    if (rule.is_so(value, other->second)) ++verdict.agreeing;
  }
  verdict.holds =
      rule.is_so(verdict.value, verdict.against) && (!rule.by_seed || verdict.agreeing >= verdict.num_seeds - 1);
  return verdict;
}

std::string to_string(ClaimRule rule) { return row_of(rule).name; }

ClaimRule claim_rule_named(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& row : kRules) {
    if (name == row.name) return row.rule;
    known.push_back(row.name);
  }
  fail<DataError>("[study] a claim's rule must be one of ", join_names(known), ", got '", printable(name), "'");
}

}  // namespace polyphony::pipelines
