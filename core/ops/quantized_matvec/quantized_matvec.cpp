// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantized_matvec/quantized_matvec.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/ops/quantized_matvec/quantized_matvec_cuda.h"

namespace polyphony::ops {
namespace {

void check_input(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R,
                 const at::Tensor& expert_R) {
  constexpr auto where = "[quantized_matvec] ";
  check<ShapeError>(bank.bits == 8 || bank.bits == 4, where, "bits must be 8 or 4, got ", bank.bits);
  check<ShapeError>(bank.q_EOB.defined() && bank.q_EOB.dim() == 3 && bank.q_EOB.scalar_type() == at::kByte &&
                        bank.q_EOB.is_contiguous(),
                    where, "q must be contiguous u8 (E, O, B)");
  check<ShapeError>(bank.scale_EOG.defined() && bank.scale_EOG.dim() == 3 && bank.scale_EOG.size(2) > 0 &&
                        bank.scale_EOG.scalar_type() == at::kFloat && bank.scale_EOG.is_contiguous() &&
                        bank.scale_EOG.size(0) == bank.q_EOB.size(0) && bank.scale_EOG.size(1) == bank.q_EOB.size(1) &&
                        bank.inputs() % bank.scale_EOG.size(2) == 0 && (bank.bits == 8 || bank.group() % 2 == 0),
                    where, "scale must be contiguous f32 (", bank.q_EOB.size(0), ", ", bank.q_EOB.size(1),
                    ", groups that divide ", bank.inputs(), ")");
  check<ShapeError>(x_TI.defined() && x_TI.dim() == 2 && x_TI.size(1) == bank.inputs() &&
                        (x_TI.scalar_type() == at::kFloat || x_TI.scalar_type() == at::kBFloat16),
                    where, "x must be f32 or bf16 (T, ", bank.inputs(), ")");
  check<ShapeError>(token_R.defined() == expert_R.defined(), where, "token and expert come together");
  for (const at::Tensor& id_R : {token_R, expert_R})
    check<ShapeError>(!id_R.defined() || (id_R.dim() == 1 && id_R.sizes() == token_R.sizes() &&
                                          id_R.scalar_type() == at::kLong && id_R.device() == x_TI.device()),
                      where, "token and expert must be i64 (R) on x's device");
  check<ShapeError>(bank.q_EOB.device() == x_TI.device() && bank.scale_EOG.device() == x_TI.device(), where,
                    "the bank and x are on different devices");
}

}  // namespace

QuantizedBank quantize_bank(const at::Tensor& w_EOI, int bits, int64_t group) {
  constexpr auto where = "[quantize_bank] ";
  check<ShapeError>(w_EOI.defined() && w_EOI.dim() == 3, where, "w must be (E, O, I)");
  check<ShapeError>(bits == 8 || bits == 4, where, "bits must be 8 or 4, got ", bits);
  const int64_t E = w_EOI.size(0), O = w_EOI.size(1), I = w_EOI.size(2);
  check<ShapeError>(group >= 1 && group <= I && I % group == 0 && (bits == 8 || group % 2 == 0), where,
                    "group must divide I = ", I, bits == 4 ? " and be even" : "", ", got ", group);
  const at::Tensor w = w_EOI.detach().to(at::kFloat).view({E, O, I / group, group});
  const double most = bits == 8 ? 127 : 7;
  const at::Tensor scale_EOG = w.abs().amax(-1) / most;
  const at::Tensor q = (w / scale_EOG.clamp_min(1e-30).unsqueeze(-1)).round().clamp(-most, most).view({E, O, I});
  if (bits == 8) return {.q_EOB = q.to(at::kChar).view(at::kByte), .scale_EOG = scale_EOG, .bits = 8};
  const at::Tensor nibble = (q + 8).to(at::kByte).view({E, O, I / 2, 2});
  return {.q_EOB = nibble.select(-1, 0) + nibble.select(-1, 1) * 16, .scale_EOG = scale_EOG, .bits = 4};
}

at::Tensor quantized_matvec(const at::Tensor& x_TI, const QuantizedBank& bank, const at::Tensor& token_R,
                            const at::Tensor& expert_R) {
  check_input(x_TI, bank, token_R, expert_R);
  if (x_TI.is_cpu()) return quantized_matvec_reference(x_TI, bank, token_R, expert_R);
  const auto contiguous = [](const at::Tensor& id_R) { return id_R.defined() ? id_R.contiguous() : id_R; };
  return quantized_matvec_cuda(x_TI.contiguous(), bank, contiguous(token_R), contiguous(expert_R));
}

}  // namespace polyphony::ops
