// SPDX-License-Identifier: Apache-2.0
// AdamW on plain memory.
#pragma once
#include <cstdint>

#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {

struct AdamwValues {
  float* weight;
  const float* gradient;  // null: only the average moves
  float* first;
  float* second;
  float* average;  // null: none
  int64_t count;
  uint16_t* copy;  // of the weight in bf16; null: none
  Round round;     // to that copy
};

// Rounded once from what is computed in f64.
struct AdamwNumbers {
  float gradient_scale;
  float decay;       // of the weight: 1 - learning_rate * weight_decay
  float first_rate;  // 1 - beta1
  float beta2;
  float second_rate;     // 1 - beta2
  float step_size;       // learning_rate / (1 - beta1^step)
  float second_divisor;  // sqrt(1 - beta2^step)
  float eps;
  float average_weight;
};

inline constexpr int64_t kAdamwLane = 8;  // values that LibTorch's kernel takes at once

void adamw_values(const AdamwValues& values, const AdamwNumbers& numbers);

}  // namespace polyphony::ops
