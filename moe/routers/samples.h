// SPDX-License-Identifier: Apache-2.0
// Sums and means over the tokens of each sample.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::moe {

// (B, D): mean of the tokens of each sample; zeros for a sample without any. sample_T: i64 from 0.
at::Tensor mean_of_samples(const at::Tensor& x_TD, const at::Tensor& sample_T);

}  // namespace polyphony::moe
