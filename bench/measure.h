// SPDX-License-Identifier: Apache-2.0
// Times of a piece of work and their median.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace polyphony::bench {

// Runs from where it is made.
class Stopwatch {
 public:
  double milliseconds() const { return std::chrono::duration<double, std::milli>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

template <class Work>
double milliseconds(const Work& work) {
  const Stopwatch watch;
  work();
  return watch.milliseconds();
}

// The upper one of the two in the middle where the count is even. `values` must not be empty.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace polyphony::bench
