// SPDX-License-Identifier: Apache-2.0
// DiT-MoE: noisy latents, times and classes to velocity or noise.
#include "core/check.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/forward/forward_table.h"

namespace polyphony::pipelines {

TensorMap forward_dit_moe(const ForwardInputs& inputs) {
  const auto model = load_dit_moe(inputs.folder, inputs.dtype).model;
  model->to(inputs.device);
  const auto& y = inputs.tensors.at("y");
  check<ShapeError>(!y.is_floating_point(), "[y] expected an integer type, got ", y.scalar_type());
  const auto out =
      model->forward({.x_BCHW = inputs.tensors.at("x"), .t_B = inputs.tensors.at("t"), .y_B = y.to(at::kLong)});
  return {{"out", out.out_BCHW}};
}

}  // namespace polyphony::pipelines
