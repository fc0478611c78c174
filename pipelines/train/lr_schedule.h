// SPDX-License-Identifier: Apache-2.0
// Learning rate as a pure function of the step, so that resuming needs no state.
#pragma once
#include <cstdint>
#include <string>

namespace polyphony::pipelines {

struct LrSchedule {
  std::string type = "cosine";  // constant | cosine | wsd (warm-up, stable, linear decay)
  double learning_rate = 1e-3;  // peak
  double min_lr_factor = 0.01;  // end value / peak
  int64_t warmup_steps = 200;
  int64_t total_steps = 10000;
  double decay_ratio = 0.2;  // wsd: share of the steps that decay
};

// Rate of step 0, 1, ...; steps past the end keep the end value.
double learning_rate(const LrSchedule& schedule, int64_t step);

}  // namespace polyphony::pipelines
