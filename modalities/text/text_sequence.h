// SPDX-License-Identifier: Apache-2.0
// Embedded text as a TokenSequence.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/token_sequence.h"

namespace polyphony::text {

// One sample: token i has a span of its own (it sees itself and what came before), position (i, 0, 0) and token_id
// ids[i]. Shapes: embedded (T, D), T ids. Throws ShapeError.
TokenSequence text_sequence(const at::Tensor& embedded_TD, std::span<const int64_t> ids);

}  // namespace polyphony::text
