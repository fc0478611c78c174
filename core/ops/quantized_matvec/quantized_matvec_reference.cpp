// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/quantized_matvec/quantized_matvec.h"

namespace polyphony::ops {
namespace {

at::Tensor dequantized(const QuantizedBank& bank) {
  const int64_t E = bank.q_EOB.size(0), O = bank.q_EOB.size(1);
  const at::Tensor q = bank.bits == 8 ? bank.q_EOB.view(at::kChar).to(at::kFloat)
                                      : at::stack({bank.q_EOB.bitwise_and(15), bank.q_EOB.bitwise_right_shift(4)}, -1)
                                            .to(at::kFloat)
                                            .sub(8)
                                            .view({E, O, bank.inputs()});
  return (q.view({E, O, -1, bank.group()}) * bank.scale_EOG.unsqueeze(-1)).view({E, O, bank.inputs()});
}

}  // namespace

at::Tensor quantized_matvec_reference(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R,
                                      const at::Tensor& expert_R) {
  const at::Tensor w_EOI = dequantized(bank);
  const at::Tensor x = x_TI.to(at::kFloat);
  if (!token_R.defined()) return at::mm(x, w_EOI[0].t()).to(x_TI.scalar_type());
  return at::bmm(w_EOI.index_select(0, expert_R), x.index_select(0, token_R).unsqueeze(2))
      .squeeze(2)
      .to(x_TI.scalar_type());
}

}  // namespace polyphony::ops
