// SPDX-License-Identifier: Apache-2.0
// One pass of a joint model: a drawing step, next-word logits, or both.
#include <ATen/ATen.h>

#include "core/check.h"
#include "pipelines/forward/forward_table.h"
#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {
namespace {

std::vector<std::vector<int64_t>> rows_of(const TensorMap& tensors, const char* name, int64_t count) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return std::vector<std::vector<int64_t>>(static_cast<size_t>(count));
  const auto ids = found->second.contiguous();
  check<ShapeError>(ids.dim() == 2 && ids.size(0) == count && ids.scalar_type() == at::kLong, "[", name,
                    "] expected i64 (", count, ", S), got ", ids.scalar_type(), " ", ids.sizes());
  std::vector<std::vector<int64_t>> out;
  for (int64_t i = 0; i < count; ++i) {
    const auto* row = ids.const_data_ptr<int64_t>() + i * ids.size(1);
    out.emplace_back(row, row + ids.size(1));
  }
  return out;
}

}  // namespace

TensorMap forward_joint(const ForwardInputs& inputs) {
  const auto bundle = load_joint(inputs.folder);
  bundle.model->to(inputs.device, inputs.dtype);
  const auto tensor = [&](const char* name) {
    const auto found = inputs.tensors.find(name);
    return found == inputs.tensors.end() ? at::Tensor() : found->second;
  };
  JointInput input{.texts = {.caption_complete = false},
                   .noisy_BCHW = tensor("latents"),
                   .t_B = tensor("t"),
                   .pixels_NCHW = tensor("pixel_values")};
  check<DataError>(input.noisy_BCHW.defined() || input.pixels_NCHW.defined(),
                   "[forward] expected latents and t, or pixel_values, got neither");
  check<DataError>(input.noisy_BCHW.defined() == input.t_B.defined(), "[forward] latents and t belong together");
  if (input.noisy_BCHW.defined()) {
    input.t_B = input.t_B.to(at::kFloat);
    input.texts.draw = rows_of(inputs.tensors, "prompt_ids", input.noisy_BCHW.size(0));
  }
  if (input.pixels_NCHW.defined())
    input.texts.caption = rows_of(inputs.tensors, "input_ids", input.pixels_NCHW.size(0));
  const auto out = bundle.model->forward(input);
  TensorMap tensors;
  if (out.clean_BCHW.defined()) tensors["clean"] = out.clean_BCHW;
  if (out.logits_PV.defined()) tensors["logits"] = out.logits_PV;
  return tensors;
}

}  // namespace polyphony::pipelines
