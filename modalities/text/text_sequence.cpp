// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/text_sequence.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::text {

TokenSequence text_sequence(const at::Tensor& embedded, std::span<const int64_t> ids) {
  const auto T = static_cast<int64_t>(ids.size());
  check<ShapeError>(embedded.defined() && embedded.dim() == 2 && embedded.size(0) == T, "[text_sequence] expected (", T,
                    ", D) for ", T, " ids, got ", embedded.defined() ? join(embedded.sizes()) : "an undefined tensor");
  const auto longs = embedded.options().dtype(at::kLong).requires_grad(false);
  const at::Tensor order_T = at::arange(T, longs);
  const at::Tensor id_T = at::tensor(at::ArrayRef<int64_t>(ids.data(), ids.size()), at::kLong);
  at::Tensor position_TA = at::zeros({T, kPositionAxes}, longs.dtype(at::kFloat));
  position_TA.select(1, 0).copy_(order_T);
  return {.tokens_TD = embedded,
          .modality_T = at::full({T}, static_cast<int64_t>(Modality::text), longs.dtype(at::kByte)),
          .position_TA = position_TA,
          .span_T = order_T,
          .token_id_T = id_T.to(embedded.device()),
          .sample_offsets = {0, T}};
}

}  // namespace polyphony::text
