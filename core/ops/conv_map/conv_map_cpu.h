// SPDX-License-Identifier: Apache-2.0
// conv_map on tensors that conv_map.cpp has checked.
#pragma once
#include "core/ops/conv_map/conv_map.h"

namespace polyphony::ops {

// Writes y; returns its sums, f64 (B, 2, O).
at::Tensor conv_map_cpu(const ConvMapInput& in, const PackedConv& conv, CpuLevel level, const at::Tensor& y_BHWO);

}  // namespace polyphony::ops
