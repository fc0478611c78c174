// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding over several axes.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace polyphony::nn {

struct RopeOptions {
  std::vector<int64_t> axis_dims;  // channels of a head that turn with each axis: even, their sum is the head's width
  double theta = 10000.0;
};

// f32 (T, head_dim / 2) each, axis after axis.
struct RopeTable {
  at::Tensor cos_TD;
  at::Tensor sin_TD;
};

// position_TA f32 (T, A), one column an axis. Axis a turns by position * theta^(-2i / axis_dims[a]), i < axis_dims[a]
// / 2. Throws ShapeError. Source: RoFormer (arXiv:2104.09864); several axes as in FLUX.
RopeTable make_rope_table(const at::Tensor& position_TA, const RopeOptions& options);

// x_THD (T, heads, head_dim) -> the same shape and dtype, turned in f32. Half-split style: channel i turns with channel
// i + head_dim / 2 (as Llama in Hugging Face's weights), not with its neighbour. Differentiable with respect to x.
at::Tensor apply_rope(const at::Tensor& x_THD, const RopeTable& table);

}  // namespace polyphony::nn
