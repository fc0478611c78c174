// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "core/ops/adamw/adamw.h"
#include "core/ops/bf16_copy/bf16_copy.h"

namespace polyphony::ops {

void adamw_step_reference_(const std::vector<AdamwTensors>& tensors, const AdamwOptions& o) {
  for (const auto& t : tensors) {
    if (t.gradient.defined()) {
      at::Tensor gradient = at::empty_like(t.weight).copy_(t.gradient);
      if (o.gradient_scale != 1) gradient.mul_(o.gradient_scale);
      const auto step = at::full({}, static_cast<double>(t.step), t.weight.options().dtype(at::kFloat));
      at::_fused_adamw_({t.weight}, {gradient}, {t.first}, {t.second}, {}, {step}, o.learning_rate, o.beta1, o.beta2,
                        t.weight_decay, o.eps, /*amsgrad=*/false, /*maximize=*/false);
      t.weight.unsafeGetTensorImpl()->bump_version();  // LibTorch's fused step leaves the version as it was
    }
    if (carried_bf16_copy(t.weight).defined()) keep_bf16_copy(t.weight);
    if (t.average.defined()) at::Tensor(t.average).lerp_(t.weight, o.average_weight);
  }
}

}  // namespace polyphony::ops
