// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/quantized_matvec/quantized_matvec.h"

namespace polyphony::ops {

at::Tensor quantized_matvec_reference(const at::Tensor& x_TK, const QuantizedMatrices& w, const at::Tensor& token_R,
                                      const at::Tensor& expert_R) {
  const at::Tensor w_ENK = dequantize_matrices(w);
  const at::Tensor x = x_TK.to(at::kFloat);
  if (!token_R.defined()) return at::mm(x, w_ENK[0].t()).to(x_TK.scalar_type());
  return at::bmm(w_ENK.index_select(0, expert_R), x.index_select(0, token_R).unsqueeze(2))
      .squeeze(2)
      .to(x_TK.scalar_type());
}

}  // namespace polyphony::ops
