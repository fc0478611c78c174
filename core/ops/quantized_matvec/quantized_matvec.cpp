// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/quantized_matvec/quantized_matvec_cuda.h"

namespace polyphony::ops {

at::Tensor quantized_matvec(const at::Tensor& x_TK, const QuantizedMatrices& w, const at::Tensor& token_R,
                            const at::Tensor& expert_R) {
  constexpr auto where = "[quantized_matvec] ";
  check<ShapeError>(w.values.defined() && w.values.dim() == 3 && w.values.is_contiguous() && w.scales_ENG.defined() &&
                        w.scales_ENG.is_contiguous(),
                    where, "expected contiguous weights (E, N, K) of quantize_matrices");
  check<ShapeError>(x_TK.defined() && x_TK.dim() == 2 && x_TK.size(1) == w.depth &&
                        (x_TK.scalar_type() == at::kFloat || x_TK.scalar_type() == at::kBFloat16),
                    where, "x must be f32 or bf16 (T, ", w.depth, ")");
  check<ShapeError>(token_R.defined() == expert_R.defined(), where, "token and expert come together");
  for (const at::Tensor& id_R : {token_R, expert_R})
    check<ShapeError>(!id_R.defined() || (id_R.dim() == 1 && id_R.sizes() == token_R.sizes() &&
                                          id_R.scalar_type() == at::kLong && id_R.device() == x_TK.device()),
                      where, "token and expert must be i64 (R) on x's device");
  check<ShapeError>(w.values.device() == x_TK.device() && w.scales_ENG.device() == x_TK.device(), where,
                    "the weights and x are on different devices");
  if (x_TK.is_cpu()) return quantized_matvec_reference(x_TK, w, token_R, expert_R);
  const auto contiguous = [](const at::Tensor& id_R) { return id_R.defined() ? id_R.contiguous() : id_R; };
  return quantized_matvec_cuda(x_TK.contiguous(), w, contiguous(token_R), contiguous(expert_R));
}

}  // namespace polyphony::ops
