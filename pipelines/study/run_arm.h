// SPDX-License-Identifier: Apache-2.0
// One run of a study in this process: what a child process of the runner does.
#pragma once
#include "pipelines/study/results.h"

namespace polyphony::pipelines {

// The arm of that name. Throws ConfigError, with the known names, for another.
const StudyArm& arm_named(const Study& study, const std::string& name);

// Takes the process for itself: one thread, LibTorch's generator seeded. Throws NonFiniteError naming a metric that is
// not finite, CancelledError if a signal has come, and what the arm throws.
StudyRunRecord run_arm(const RunKey& key);

}  // namespace polyphony::pipelines
