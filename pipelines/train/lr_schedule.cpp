// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polyphony::pipelines {
namespace {

// Share of the way from peak (0) to end (1).
double decay_progress(const LrSchedule& s, int64_t step) {
  const auto clamp01 = [](double x) { return std::clamp(x, 0.0, 1.0); };
  const double total = static_cast<double>(std::max<int64_t>(s.total_steps, 1));
  if (s.type == "cosine") {
    const double after =
        static_cast<double>(step - s.warmup_steps) / std::max(1.0, total - static_cast<double>(s.warmup_steps));
    return 0.5 * (1 - std::cos(std::numbers::pi * clamp01(after)));
  }
  if (s.type == "wsd") {
    const double decay = std::max(1.0, total * s.decay_ratio);
    return clamp01((static_cast<double>(step) - (total - decay)) / decay);
  }
  return 0;
}

}  // namespace

double learning_rate(const LrSchedule& s, int64_t step) {
  if (step < s.warmup_steps)
    return s.learning_rate * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  return s.learning_rate * (1 - (1 - s.min_lr_factor) * decay_progress(s, step));
}

}  // namespace polyphony::pipelines
