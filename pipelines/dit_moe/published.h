// SPDX-License-Identifier: Apache-2.0
// The tensor names of the published code, and its initialisation, both by slices of our own parameters.
#pragma once
#include <functional>
#include <string>

#include "core/tensor_io.h"
#include "pipelines/dit_moe/model.h"

namespace polyphony::pipelines {

// `own` (names as state_of gives them: values, or their gradients) as views under the published names: experts one by
// one, gate and up projections apart, timm's `qkv` and `proj`, or `Wqkv` and `out_proj` where the model has qk-norm.
// Writing to a view writes to the tensor that it came from. Names that `own` lacks are left out.
TensorMap published_views(const DitMoeConfig& config, const TensorMap& own);

// Throws DataError where the tensors, told by `holds` name, are a dense DiT's with GELU layers: they are no SwiGLU
// expert, so that such a model can be neither loaded, converted nor upcycled. `where` starts the message.
void refuse_gelu_dit(const std::function<bool(const std::string&)>& holds, const std::string& where);

// Xavier-uniform linear layers without bias values, N(0, 0.02) tables of time and class, zero modulations and output.
// Source: the published code; gates keep the router's own kaiming-uniform.
void initialise_as_published(DitMoe& model);

}  // namespace polyphony::pipelines
