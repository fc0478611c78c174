// SPDX-License-Identifier: Apache-2.0
#include "moe/losses/consistency.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor consistency_loss(const at::Tensor& logits_NV, const at::Tensor& other_NV) {
  check<ShapeError>(logits_NV.dim() == 2 && logits_NV.sizes() == other_NV.sizes(),
                    "[losses] the logits of both passes must be (N, V), got ", logits_NV.sizes(), " and ",
                    other_NV.sizes());
  const auto log_p = logits_NV.log_softmax(1), log_q = other_NV.log_softmax(1);
  const auto sum = 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum();
  return sum / static_cast<double>(std::max<int64_t>(logits_NV.size(0), 1));
}

}  // namespace polyphony::moe
