// SPDX-License-Identifier: Apache-2.0
// Joins three words and a picture of two patches into one sequence and prints the spans of its tokens.
#include <ATen/ATen.h>

#include <iostream>

#include "core/token_sequence.h"

polyphony::TokenSequence make_part(polyphony::Modality modality, const std::vector<int64_t>& spans) {
  const auto T = static_cast<int64_t>(spans.size());
  return {.tokens_TD = at::zeros({T, 4}),
          .modality_T = at::full({T}, static_cast<int64_t>(modality), at::kByte),
          .position_TA = at::zeros({T, polyphony::kPositionAxes}),
          .span_T = at::tensor(spans, at::kLong),
          .token_id_T = at::arange(T, at::kLong),
          .sample_offsets = {0, T}};
}

int main() {
  const auto words = make_part(polyphony::Modality::text, {0, 1, 2});
  const auto picture = make_part(polyphony::Modality::image, {0, 0});
  const auto joined = polyphony::join_parts({words, picture});
  polyphony::check_token_sequence(joined);
  std::cout << joined.num_tokens() << " tokens, spans";
  for (int64_t t = 0; t < joined.num_tokens(); ++t) std::cout << ' ' << joined.span_T[t].item<int64_t>();
  std::cout << '\n';
}
