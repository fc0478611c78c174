// SPDX-License-Identifier: Apache-2.0
// Why a generated text ends.
#pragma once
#include <cstdint>

namespace polyphony::pipelines {

enum class FinishReason : uint8_t { end_of_text, max_tokens, context, stopped };

}  // namespace polyphony::pipelines
