// SPDX-License-Identifier: Apache-2.0
#include "core/ops/conv_map/conv_map.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/conv_map/conv_map_cpu.h"
#include "core/ops/conv_map/map_rows.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

constexpr auto kWhere = "[conv_map] ";

void check_rows(const at::Tensor& rows_BI, int64_t B, int64_t I) {
  check<ShapeError>(rows_BI.defined() && rows_BI.sizes() == at::IntArrayRef({B, I}) &&
                        rows_BI.scalar_type() == at::kFloat && rows_BI.is_contiguous(),
                    kWhere, "scale and shift must be f32 (", B, ", ", I, "), got ",
                    rows_BI.defined() ? join(rows_BI.scalar_type(), " ", rows_BI.sizes()) : "one of them");
}

}  // namespace

PackedConv pack_conv(const at::Tensor& weight_OIKK, const at::Tensor& bias_O) {
  check<ShapeError>(weight_OIKK.dim() == 4 && weight_OIKK.is_cpu() && weight_OIKK.size(2) == weight_OIKK.size(3) &&
                        (weight_OIKK.size(2) == 1 || weight_OIKK.size(2) == 3) && weight_OIKK.numel() > 0,
                    kWhere, "the weight must be (O, I, 1, 1) or (O, I, 3, 3) on the CPU, got ", weight_OIKK.sizes());
  const int64_t O = weight_OIKK.size(0), I = weight_OIKK.size(1), K = weight_OIKK.size(2);
  check<ShapeError>(bias_O.defined() && bias_O.sizes() == at::IntArrayRef({O}), kWhere, "the bias must be (", O, ")");
  // (pair of strips, strip, block, place, pair of channels, column, channel of the pair)
  const int64_t pairs = tiles_of(O, kChannels), blocks = tiles_of(I, kChannels);
  const at::Tensor padded = at::constant_pad_nd(weight_OIKK.detach().to(at::kBFloat16).contiguous(),
                                                {0, 0, 0, 0, 0, blocks * kChannels - I, 0, pairs * kChannels - O});
  const at::Tensor tiles =
      padded.view({pairs, 2, kTileSide, blocks, kChannels / 2, 2, K * K}).permute({0, 1, 3, 6, 4, 2, 5}).contiguous();
  return {.tiles = tiles,
          .bias_O = bias_O.detach().to(at::kFloat).contiguous(),
          .in_channels = I,
          .out_channels = O,
          .kernel = K};
}

ConvMapOutput conv_map(const ConvMapInput& in, const PackedConv& conv, CpuLevel level) {
  const auto& x = in.x_BHWI;
  check<ShapeError>(x.defined() && x.dim() == 4 && x.size(3) == conv.in_channels &&
                        (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat) && x.is_cpu() &&
                        x.is_contiguous(),
                    kWhere, "x must be contiguous bf16 or f32 (B, H, W, ", conv.in_channels, ") on the CPU, got ",
                    x.defined() ? join(x.scalar_type(), " ", x.sizes()) : "none");
  const auto dtype = in.f32_result ? at::kFloat : at::kBFloat16;
  const int64_t B = x.size(0), times = in.doubled ? 2 : 1;
  if (in.scale_BI.defined() || in.shift_BI.defined())
    for (const auto& rows_BI : {in.scale_BI, in.shift_BI}) check_rows(rows_BI, B, conv.in_channels);
  const std::vector<int64_t> sizes = {B, times * x.size(1), times * x.size(2), conv.out_channels};
  check<ShapeError>(
      !in.residual_BHWO.defined() || (in.residual_BHWO.sizes() == sizes && in.residual_BHWO.scalar_type() == dtype &&
                                      in.residual_BHWO.is_contiguous()),
      kWhere, "the residual must be contiguous, of the result's shape and dtype");
  check<ShapeError>(!in.over_residual || in.residual_BHWO.defined(), kWhere, "there is no residual to write over");
  const KernelsOnly guard;
  ConvMapOutput out{.y_BHWO = in.over_residual ? in.residual_BHWO : at::empty(sizes, x.options().dtype(dtype)),
                    .sums_B2O = {}};
  out.sums_B2O = conv_map_cpu(in, conv, level, out.y_BHWO);
  return out;
}

}  // namespace polyphony::ops
