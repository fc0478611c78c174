// SPDX-License-Identifier: Apache-2.0
#include "core/ops/rotate_rows/rotate_rows.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/check.h"
#include "core/ops/dispatch_plan/saved_plan.h"
#include "core/ops/parallel.h"
#include "core/ops/row_math.h"

namespace polyphony::ops {
namespace {

// Rows of x are `stride` apart: heads of one token may be a part of a wider row.
template <class T>
void rotate_cpu(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD, const at::Tensor& y_THC) {
  const int64_t H = x_THC.size(1), D = x_THC.size(2) / 2;
  const int64_t of_token = x_THC.stride(0), of_head = x_THC.stride(1);
  const T* x = x_THC.const_data_ptr<T>();
  const float* cos = cos_TD.const_data_ptr<float>();
  const float* sin = sin_TD.const_data_ptr<float>();
  T* y = y_THC.mutable_data_ptr<T>();
  at::parallel_for(0, x_THC.size(0), kRowsPerChunk, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t)
      for (int64_t h = 0; h < H; ++h) {
        const T* from = x + t * of_token + h * of_head;
        T* to = y + (t * H + h) * 2 * D;
        const float* c = cos + t * D;
        const float* s = sin + t * D;
#pragma omp simd
        for (int64_t d = 0; d < D; ++d) {
          const Compute<T> a = load(from[d]), b = load(from[d + D]);
          store(to + d, a * c[d] - b * s[d]);
          store(to + d + D, b * c[d] + a * s[d]);
        }
      }
  });
}

at::Tensor rotate(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD) {
  const at::Tensor x = x_THC.stride(2) == 1 ? x_THC : x_THC.contiguous();
  at::Tensor y_THC = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES_AND(at::kBFloat16, x.scalar_type(), "rotate_rows",
                                 [&] { rotate_cpu<scalar_t>(x, cos_TD, sin_TD, y_THC); });
  return y_THC;
}

// A rotation's transpose is the rotation back, so nothing but the table is saved.
struct RotateRows : torch::autograd::Function<RotateRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_THC, const at::Tensor& cos_TD,
                            const at::Tensor& sin_TD) {
    const KernelsOnly guard;
    ctx->save_for_backward({cos_TD, sin_TD});
    return rotate(x_THC, cos_TD, sin_TD);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    refuse_double_backward("rotate_rows");
    const KernelsOnly guard;
    const auto saved = ctx->get_saved_variables();
    return {rotate(gradients[0], saved[0], -saved[1]), {}, {}};
  }
};

}  // namespace

at::Tensor rotate_rows_reference(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD) {
  const auto compute = x_THC.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto halves = x_THC.to(compute).chunk(2, -1);
  const at::Tensor cos = cos_TD.unsqueeze(1), sin = sin_TD.unsqueeze(1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1).to(x_THC.scalar_type());
}

at::Tensor rotate_rows(const at::Tensor& x_THC, const at::Tensor& cos_TD, const at::Tensor& sin_TD) {
  check<ShapeError>(x_THC.dim() == 3 && x_THC.size(0) == cos_TD.size(0) && x_THC.size(2) == 2 * cos_TD.size(1) &&
                        cos_TD.sizes() == sin_TD.sizes(),
                    "[rope] x must be (", cos_TD.size(0), ", heads, ", 2 * cos_TD.size(1), "), got ", x_THC.sizes());
  const auto dtype = x_THC.scalar_type();
  const bool has_kernel = x_THC.is_cpu() && cos_TD.scalar_type() == at::kFloat &&
                          (dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble);
  if (!has_kernel) return rotate_rows_reference(x_THC, cos_TD, sin_TD);
  return RotateRows::apply(x_THC, cos_TD.contiguous(), sin_TD.contiguous());
}

}  // namespace polyphony::ops
