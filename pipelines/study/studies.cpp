// SPDX-License-Identifier: Apache-2.0
// The table of studies.
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

// In the order of the systems' numbers in docs/evidence.md's sources.
constexpr Study (*kStudies[])() = {
    &union_of_experts_study, &recurrent_router_study, &fine_grained_study,    &top_p_study,
    &null_experts_study,     &zero_computation_study, &dense_to_sparse_study, &stochastic_experts_study,
    &lsh_dispatch_study,     &dense_training_study,   &balance_losses_study,  &adversarial_routing_study,
    &tree_gate_study,        &modality_groups_study,  &attention_gate_study,  &laplace_gate_study,
};

}  // namespace

const std::vector<Study>& studies() {
  static const auto all = [] {
    std::vector<Study> made;
    for (const auto& make : kStudies) made.push_back(make());
    return made;
  }();
  return all;
}

const Study& study_named(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& study : studies()) {
    if (study.name == name) return study;
    known.push_back(study.name);
  }
  fail<ConfigError>("[study] unknown study '", printable(name), "', known are ", join_names(known),
                    did_you_mean(name, known));
}

}  // namespace polyphony::pipelines
