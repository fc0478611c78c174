// SPDX-License-Identifier: Apache-2.0
// Assignment problems: who gets what so that the sum of benefits is largest.
#pragma once
#include <ATen/core/Tensor.h>

namespace polyphony::moe {

// i64 (n): column of each row of a square benefit matrix, every column once, with the largest sum; optimal up to
// rounding of f64. O(n^3). Throws ShapeError on a matrix that is not square or has NaN.
// Source: Hungarian method with potentials (Kuhn 1955, Jonker and Volgenant 1987).
at::Tensor linear_assignment(const at::Tensor& benefit_NN);

// i64 (T): expert of each token, at most capacity_E[e] tokens for expert e; -inf forbids. The sum of benefits is within
// T * epsilon of the largest. Throws ShapeError if the capacities cannot hold all tokens (some token stays without an
// expert) or a token is forbidden everywhere.
// Source: auction algorithm for similar objects (Bertsekas and Castanon 1989), as in BASE layers (arXiv:2103.16716).
at::Tensor auction_assignment(const at::Tensor& benefit_TE, const at::Tensor& capacity_E, double epsilon);

}  // namespace polyphony::moe
