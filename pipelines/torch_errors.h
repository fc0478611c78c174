// SPDX-License-Identifier: Apache-2.0
// LibTorch's errors become ours at the edge of pipelines/, so that front ends catch polyphony::Error only.
#pragma once
#include <utility>

namespace polyphony::pipelines {

// Inside a catch block: throws MemoryError for a failed allocation of LibTorch, DeviceError for a device that failed,
// ShapeError for an index out of range, Error for its other complaints; anything else as it is.
[[noreturn]] void rethrow_translated();

template <class Work>
auto translate_torch_errors(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (...) {
    rethrow_translated();
  }
}

}  // namespace polyphony::pipelines
