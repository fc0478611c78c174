// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <limits>

#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::ops {

TopkSoftmax topk_softmax_reference(const at::Tensor& logits_TE, int64_t K) {
  const at::Tensor allowed = logits_TE > -std::numeric_limits<double>::infinity();
  const at::Tensor score_TE = logits_TE.softmax(-1).masked_fill(~allowed.any(-1, true), 0);
  const auto [sorted, order] = at::sort(logits_TE, /*stable=*/true, /*dim=*/-1, /*descending=*/true);
  const at::Tensor chosen = order.narrow(1, 0, K);
  const at::Tensor missing = ~allowed.gather(1, chosen);
  return {.weight_TK = score_TE.gather(1, chosen).masked_fill(missing, 0),
          .expert_TK = chosen.masked_fill(missing, logits_TE.size(1)),
          .score_TE = score_TE.detach()};
}

}  // namespace polyphony::ops
