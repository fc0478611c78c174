// SPDX-License-Identifier: Apache-2.0
// A study that nothing has to be trained for, and its runs.
#pragma once
#include "pipelines/study/results.h"

namespace polyphony::testing {

// Arms "new" and "a/b <old>": the second claim cannot hold where the first does.
inline pipelines::Study made_up_study() {
  using namespace pipelines;
  return {.name = "made_up",
          .title = "A made-up study",
          .source = "nowhere, section 0",
          .setting = "Nothing is trained.",
          .caveat = "It shows nothing.",
          .num_seeds = 2,
          .arms = {{.name = "new",
                    .what = "the one",
                    .run = [](const StudyRun& run) -> StudyMetrics {
                      return {{"loss", 1.0 + 0.1 * static_cast<double>(run.seed)}};
                    }},
                   {.name = "a/b <old>",
                    .what = "the other",
                    .run = [](const StudyRun& run) -> StudyMetrics {
                      return {{"loss", 2.0 + 0.1 * static_cast<double>(run.seed)}};
                    }}},
          .claims = {{.text = "New is lower.", .metric = "loss", .arm = "new", .than = "a/b <old>"},
                     {.text = "New is half of old.",
                      .metric = "loss",
                      .arm = "new",
                      .than = "a/b <old>",
                      .rule = ClaimRule::lower,
                      .factor = 0.5}}};
}

// All its runs, without files.
inline pipelines::StudyRecord made_up_record() {
  pipelines::StudyRecord record{.study = made_up_study()};
  for (uint64_t seed = 1; seed <= 2; ++seed)
    for (const auto& arm : record.study.arms)
      record.runs.push_back({.arm = arm.name,
                             .seed = seed,
                             .metrics = arm.run({.seed = seed, .quick = false, .progress = {}}),
                             .seconds = 1.5,
                             .machine = "a machine"});
  return record;
}

}  // namespace polyphony::testing
