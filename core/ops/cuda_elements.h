// SPDX-License-Identifier: Apache-2.0
// Every element function that has a CUDA kernel, and its launcher. C++17, so that nvcc can read it. In a build without
// CUDA the launchers throw DeviceError.
#pragma once
#include "core/ops/combine_rows/combine_rows_element.h"
#include "core/ops/gated_activation/gated_activation_element.h"
#include "core/ops/permute_rows/permute_rows_element.h"
#include "core/ops/topk_softmax/topk_softmax_element.h"

namespace polyphony::ops {

void launch(const PermuteRowsElement<float>& element);
void launch(const PermuteRowsElement<c10::BFloat16>& element);
void launch(const CombineRowsElement<float>& element);
void launch(const CombineRowsElement<c10::BFloat16>& element);
void launch(const GatedActivationElement<float>& element);
void launch(const GatedActivationElement<c10::BFloat16>& element);
void launch(const GatedActivationGradient<float>& element);
void launch(const GatedActivationGradient<c10::BFloat16>& element);
void launch(const TopkSoftmaxElement& element);

}  // namespace polyphony::ops
