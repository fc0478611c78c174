// SPDX-License-Identifier: Apache-2.0
// Counts and checks the tensors of one model.
#pragma once
#include <nlohmann/json.hpp>

#include "core/formats/safetensors_index.h"
#include "pipelines/inspect/inspect.h"

namespace polyphony::pipelines {

// Reads every tensor. Throws DataError.
void inspect_weights(const formats::SafetensorsSet& weights, Inspection& out);

// Parameters that one token passes through. `config` names the numbers of experts and of experts a token, as
// Hugging Face's MoE models and ours do; without them every parameter is active.
int64_t count_active(const formats::SafetensorsSet& weights, const nlohmann::json& config);

}  // namespace polyphony::pipelines
