// SPDX-License-Identifier: Apache-2.0
// A step of AdamW with gradient clipping and an exponential moving average (EMA), in one pass over memory.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace polyphony::ops {

// One parameter and its state: tensors of one shape, dtype and device, the same strides without gaps.
struct AdamwTensors {
  at::Tensor weight;
  at::Tensor gradient = {};  // undefined: only the average moves. Any strides
  at::Tensor first, second;  // moments
  at::Tensor average = {};   // EMA of the weight; undefined: none
  int64_t step = 1;          // steps of this parameter, this one included
  double weight_decay = 0;
};

struct AdamwOptions {
  double learning_rate;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double gradient_scale = 1;  // what clipping multiplies gradients by
  double average_weight = 0;  // average += average_weight * (weight - average)
};

// weight *= 1 - learning_rate * weight_decay; first += (1 - beta1) (g - first); second = beta2 second + (1 - beta2)
// g^2; weight -= learning_rate / (1 - beta1^step) first / (sqrt(second) / sqrt(1 - beta2^step) + eps); then the
// average. f32 on the CPU in one pass, to the last bit what LibTorch's separate passes give on one thread, for any
// number of threads; otherwise by the reference. That pass writes the bf16 copies that weights carry
// (core/ops/bf16_copy). Source: AdamW (arXiv:1711.05101). Throws ShapeError.
void adamw_step_(const std::vector<AdamwTensors>& tensors, const AdamwOptions& options);

// The same by LibTorch's passes, one after another.
void adamw_step_reference_(const std::vector<AdamwTensors>& tensors, const AdamwOptions& options);

}  // namespace polyphony::ops
