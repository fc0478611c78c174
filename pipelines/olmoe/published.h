// SPDX-License-Identifier: Apache-2.0
// A model's tensors under the names of Hugging Face's OlmoeForCausalLM, one matrix a projection and an expert.
#pragma once
#include "core/tensor_io.h"
#include "pipelines/olmoe/model.h"

namespace polyphony::pipelines {

// A layer whose tensors have their shapes and no values: quantised ones where the config says so, else plain ones in
// `dtype`; on the CPU or on the meta device.
OlmoeLayer empty_olmoe_layer(const OlmoeConfig& config, at::ScalarType dtype, at::Device device = at::kCPU);
// A model without layers, otherwise the same.
OlmoeModel empty_olmoe_ends(const OlmoeConfig& config, at::ScalarType dtype, at::Device device = at::kCPU);

// Views: what is written into them is in the model. A tied head has no name of its own; a quantised matrix has a tensor
// of numbers, "weight", and one of scales, "weight_scale". Undefined matrices are left out. Throw
// ShapeError for packed ones.
TensorMap published_layer(const OlmoeConfig& config, const OlmoeLayer& layer, int64_t index);
TensorMap published_ends(const OlmoeModel& model);
// How many names a whole model has.
int64_t published_count(const OlmoeConfig& config);

}  // namespace polyphony::pipelines
