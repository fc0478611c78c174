// SPDX-License-Identifier: Apache-2.0
// A convolution over channels-last maps, products in bf16, with what stands before and after it in a decoder in the
// same pass: group norm and SiLU of what goes in, the residual and the sums of the next group norm of what comes out.
// Shapes: B samples, H x W positions of the result, I channels in, O channels out, K = 1 or 3.
#pragma once
#include <ATen/core/Tensor.h>

#include "core/base/cpu_level.h"

namespace polyphony::ops {

// Weights as the kernels read them: made once, then only read. 16-bit values, padded to 32 channels on both sides.
struct PackedConv {
  at::Tensor tiles;
  at::Tensor bias_O;  // f32
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t kernel = 0;
};

// weight_OIKK and bias_O of any floating dtype on the CPU. Throws ShapeError.
PackedConv pack_conv(const at::Tensor& weight_OIKK, const at::Tensor& bias_O);

struct ConvMapInput {
  at::Tensor x_BHWI = {};  // bf16 or f32; (B, H / 2, W / 2, I) where doubled
  // f32: x * scale + shift, and SiLU of it where asked for, is convolved; undefined: x itself. The border is 0.
  at::Tensor scale_BI = {}, shift_BI = {};
  bool silu = true;
  bool doubled = false;           // every position stands for two by two (nearest neighbour)
  at::Tensor residual_BHWO = {};  // of the result's dtype, added at the end; undefined: none
  bool over_residual = false;     // the result is written where the residual was
  bool f32_result = false;
};

struct ConvMapOutput {
  at::Tensor y_BHWO;    // bf16, or f32 where asked for
  at::Tensor sums_B2O;  // f64: the sum of y over all positions, and that of its squares, before y is rounded
};

// Stride 1, resolution kept. Products of bf16 with sums in f32. The map is computed in tiles of fixed size, each with
// its border, by as many threads as there are: the same bits for any number of them, and no copy of a whole map. No
// gradients. Throws ShapeError, also where the machine lacks `level`.
ConvMapOutput conv_map(const ConvMapInput& input, const PackedConv& conv, CpuLevel level = cpu_level());

// The definition in LibTorch operations, products in f32 of the same rounded values.
ConvMapOutput conv_map_reference(const ConvMapInput& input, const at::Tensor& weight_OIKK, const at::Tensor& bias_O);

}  // namespace polyphony::ops
