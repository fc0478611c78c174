// SPDX-License-Identifier: Apache-2.0
// Products of rows sorted by expert with a matrix of each expert, without autograd.
// Shapes: R rows, E experts, K contracted.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace polyphony::ops {

// Where each expert's rows are, in the form that the product wants.
struct RowGroups {
  at::Tensor end_E;             // i32 on the rows' device: all experts in one launch (at::_grouped_mm)
  std::vector<int64_t> offset;  // or E + 1 of the host: one product an expert
};

// True where LibTorch multiplies all experts in one launch: bf16 on a GPU of sm_90 or later, with every width a
// multiple of 8 values (16 bytes).
bool multiplies_in_one_launch(const at::Tensor& x, at::IntArrayRef widths);

// Of a plan's offset_E1. Without one_launch the offsets are copied to the host, for which it waits.
RowGroups row_groups(const at::Tensor& offset_E1, bool one_launch);

// Row r of expert e is x_r w[e]: x_RK, w_EKN -> (R, N). w may be a transposed view.
at::Tensor grouped_product(const at::Tensor& x_RK, const at::Tensor& w_EKN, const RowGroups& groups);

// The sum over expert e's rows of left_r right_r^T: left_RM, right_RN -> (E, M, N); 0 for an expert without rows.
at::Tensor grouped_outer_product(const at::Tensor& left_RM, const at::Tensor& right_RN, const RowGroups& groups);

}  // namespace polyphony::ops
