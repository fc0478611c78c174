// SPDX-License-Identifier: Apache-2.0
// Consistency of two passes through experts that were drawn at random.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::moe {

// Mean over rows of (KL(p || q) + KL(q || p)) / 2 = sum_v (p - q)(log p - log q) / 2 in nats, p and q the softmax of
// two passes' logits; scalar of their dtype, at least 0, 0 for equal logits. Gradient reaches both passes. logits_NV:
// (N, V), rows that count alone (no padding). Source: THOR (arXiv:2110.04260), from log-softmax where its code
// takes the logarithm of a softmax. Throws ShapeError.
at::Tensor consistency_loss(const at::Tensor& logits_NV, const at::Tensor& other_NV);

}  // namespace polyphony::moe
