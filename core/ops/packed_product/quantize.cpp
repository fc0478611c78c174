// SPDX-License-Identifier: Apache-2.0
#include "core/ops/packed_product/quantize.h"

#include <ATen/ATen.h>

#include <array>
#include <span>

#include "core/check.h"

namespace polyphony::ops {
namespace {

constexpr std::string_view kNames[] = {"bf16", "int8", "int4"};

// Largest values map to the end of the range; int4's reaches further down than up, so its scale takes the sign that
// puts the largest value there. Factors below 1 cut the largest value off and make all others finer.
struct Range {
  float lowest;
  float highest;
  std::span<const float> factors;
};
constexpr float kNext[] = {1.0f, 1.004f};  // the scale's bf16 may fall below it, and cut the largest value off
constexpr float kAround[] = {1.0f, 1.14f, 1.07f, 0.94f, 0.88f, 0.82f};
constexpr Range kInt8 = {.lowest = -127, .highest = 127, .factors = kNext};
constexpr Range kInt4 = {.lowest = -8, .highest = 7, .factors = kAround};

struct Numbers {
  at::Tensor numbers;    // f32 (N, G, group)
  at::Tensor scales_NG;  // bf16
};

Numbers nearest(const at::Tensor& w_NGV, const Range& range) {
  const at::Tensor at_extreme = w_NGV.abs().argmax(2, true);
  const at::Tensor exact_NG = w_NGV.gather(2, at_extreme).squeeze(2) / range.lowest;
  Numbers best;
  at::Tensor least_NG;
  for (const float factor : range.factors) {
    const at::Tensor scale_NG = (exact_NG * factor).to(at::kBFloat16);
    const at::Tensor scale = scale_NG.to(at::kFloat).unsqueeze(2);
    const at::Tensor divisor = at::where(scale == 0, at::ones_like(scale), scale);
    const at::Tensor numbers = (w_NGV / divisor).round_().clamp_(range.lowest, range.highest);
    const at::Tensor error_NG = (numbers * scale - w_NGV).square_().sum(2);
    if (!least_NG.defined()) {
      best = {.numbers = numbers, .scales_NG = scale_NG};
      least_NG = error_NG;
      continue;
    }
    const at::Tensor better_NG = error_NG < least_NG;
    best.numbers = at::where(better_NG.unsqueeze(2), numbers, best.numbers);
    best.scales_NG = at::where(better_NG, scale_NG, best.scales_NG);
    least_NG = at::minimum(error_NG, least_NG);
  }
  return best;
}

// (..., K) numbers of four bits, two a byte.
at::Tensor pack_pairs(const at::Tensor& numbers) {
  const at::Tensor whole = at::constant_pad_nd(numbers, {0, numbers.size(-1) % 2}).add(8).to(at::kByte);
  const auto pairs = whole.unflatten(-1, {-1, 2});
  return pairs.select(-1, 0).bitwise_or(pairs.select(-1, 1).mul(16));
}

at::Tensor unpack_pairs(const at::Tensor& bytes, int64_t depth) {
  const auto pairs = at::stack({bytes.bitwise_and(15), bytes.bitwise_right_shift(4)}, -1);
  return pairs.flatten(-2).narrow(-1, 0, depth).to(at::kFloat).sub_(8);
}

}  // namespace

std::string_view to_string(WeightFormat format) { return kNames[static_cast<int>(format)]; }

std::optional<WeightFormat> weight_format(std::string_view name) {
  for (int i = 0; i < 3; ++i)
    if (kNames[i] == name) return static_cast<WeightFormat>(i);
  return std::nullopt;
}

QuantizedMatrices quantize_matrices(const at::Tensor& w, WeightFormat format, int64_t group) {
  constexpr auto where = "[quantize_matrices] ";
  check<ShapeError>(format != WeightFormat::bf16, where, "expected int8 or int4, got bf16");
  check<ShapeError>(group >= 0 && group % 32 == 0, where, "expected a group of 0 or a multiple of 32, got ", group);
  check<ShapeError>(w.defined() && (w.dim() == 2 || w.dim() == 3) && w.is_cpu() && w.size(-1) > 0, where,
                    "expected (N, K) or (E, N, K) on the CPU with K above 0");
  const at::Tensor w_ENK = (w.dim() == 2 ? w.unsqueeze(0) : w).detach();
  const int64_t depth = w_ENK.size(2);
  const int64_t size = group == 0 ? depth : group;
  const int64_t padding = (size - depth % size) % size;
  const Range& range = format == WeightFormat::int8 ? kInt8 : kInt4;
  std::vector<at::Tensor> values, scales;
  for (const at::Tensor& w_NK : w_ENK.unbind(0)) {
    const at::Tensor f32 = w_NK.to(at::kFloat);
    check<ShapeError>(f32.isfinite().all().item<bool>(), where, "expected finite values, got some that are not");
    const auto [numbers, scales_NG] = nearest(at::constant_pad_nd(f32, {0, padding}).unflatten(1, {-1, size}), range);
    const at::Tensor numbers_NK = numbers.flatten(1).narrow(1, 0, depth);
    values.push_back(format == WeightFormat::int8 ? numbers_NK.to(at::kChar) : pack_pairs(numbers_NK));
    scales.push_back(scales_NG);
  }
  const auto stacked = [](const std::vector<at::Tensor>& all, at::ScalarType dtype) {
    return all.empty() ? at::empty({0, 0, 0}, dtype) : at::stack(all);
  };
  return {.format = format,
          .group = group,
          .depth = depth,
          .values = stacked(values, format == WeightFormat::int8 ? at::kChar : at::kByte),
          .scales_ENG = stacked(scales, at::kBFloat16)};
}

at::Tensor dequantize_matrices(const QuantizedMatrices& q) {
  const at::Tensor numbers = q.format == WeightFormat::int8 ? q.values.to(at::kFloat) : unpack_pairs(q.values, q.depth);
  const int64_t size = q.group == 0 ? q.depth : q.group;
  const at::Tensor scales = q.scales_ENG.to(at::kFloat).repeat_interleave(size, 2).narrow(2, 0, q.depth);
  return numbers * scales;
}

}  // namespace polyphony::ops
