// SPDX-License-Identifier: Apache-2.0
// `convert --quantize`: an OLMoE folder to one with weights of 8 or 4 bits, and how far that takes it from f32.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/session.h"

namespace polyphony::pipelines {

struct QuantizeOptions {
  std::string input = {};   // folder of an OLMoE
  std::string format = {};  // "int8" or "int4"
  std::string output = {};  // a folder that is not there yet, or is empty
};

// Root mean square of the difference over that of the weights, over all matrices of a kind.
struct QuantizedKind {
  std::string name = {};  // "attention", "experts", "head"
  double mean_error = 0, largest_error = 0;
};

struct QuantizeReport {
  std::string output = {};
  std::string format = {};
  uint64_t bytes_before = 0, bytes_after = 0;  // of all tensors
  std::vector<QuantizedKind> kinds = {};
  // On random tokens, against the same weights in f32: mean over positions of KL(f32 || quantised) in nats, and root
  // mean square of the logits' difference over that of the logits.
  int64_t tokens = 0;
  double logit_kl = 0, logit_error = 0;
  // The same for bf16 in the place of int8 or int4: what the rounding of products alone does.
  double bf16_kl = 0, bf16_error = 0;
  std::vector<std::string> notes = {};
};

// One layer at a time is in memory. Projections, experts and the head are quantised, the embedding, gates and norms
// are not; tokenizer files are copied, README.md is the card with these errors. Throws UsageError for options,
// DataError for the folder, MemoryError.
QuantizeReport quantize_olmoe(const QuantizeOptions& options, const OnProgress& on_progress);

std::string to_json(const QuantizeReport& report);  // schema "polyphony.quantize/1"

}  // namespace polyphony::pipelines
