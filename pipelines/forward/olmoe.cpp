// SPDX-License-Identifier: Apache-2.0
// OLMoE: token ids to logits of each next token.
#include <ATen/ATen.h>

#include "core/check.h"
#include "pipelines/forward/forward_table.h"
#include "pipelines/olmoe/folder.h"

namespace polyphony::pipelines {

TensorMap forward_olmoe(const ForwardInputs& inputs) {
  const auto& ids_BS = inputs.tensors.at("input_ids");
  check<ShapeError>(ids_BS.dim() == 2 && at::isIntegralType(ids_BS.scalar_type(), /*includeBool=*/false),
                    "[input_ids] expected integers (B, S), got ", ids_BS.scalar_type(), " ", ids_BS.sizes());
  check<DeviceError>(inputs.device.is_cpu(), "[forward] this model runs on the cpu so far, got ", inputs.device);
  const OlmoeReader reader(inputs.folder);
  // Quantised weights are computed with as they are in bf16, and as what they stand for in f32.
  const auto half = stored_format(reader).value_or(ops::WeightFormat::bf16);
  const auto model = load_olmoe(reader, inputs.dtype == at::kFloat ? std::nullopt : std::optional(half)).model;
  auto logits_BSV = at::empty({ids_BS.size(0), ids_BS.size(1), model.config.vocab_size});
  for (int64_t b = 0; b < ids_BS.size(0); ++b) logits_BSV[b] = forward(model, ids_BS[b].to(at::kLong));
  return {{"logits", logits_BSV}};
}

}  // namespace polyphony::pipelines
