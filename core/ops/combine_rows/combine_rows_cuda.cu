// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda_elements.h"
#include "core/ops/cuda_launch.cuh"

namespace polyphony::ops {

void launch(const CombineRowsElement<float>& element) { launch_elements(element, element.count()); }
void launch(const CombineRowsElement<c10::BFloat16>& element) { launch_elements(element, element.count()); }

}  // namespace polyphony::ops
