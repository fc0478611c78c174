// SPDX-License-Identifier: Apache-2.0
// The JSON part of a safetensors header, one tensor at a time.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/formats/safetensors.h"

namespace polyphony::formats {

// Appends what `text` describes to `header`, each tensor checked by itself; how tensors fit together is not looked at.
// Memory grows with the text only: nesting is bounded by the format and unknown fields are skipped.
// `text_begin`: bytes before it in the file, for messages. Throws DataError.
void read_safetensors_json(std::string_view text, uint64_t text_begin, std::string_view where,
                           const SafetensorsLimits& limits, SafetensorsHeader& header);

}  // namespace polyphony::formats
