// SPDX-License-Identifier: Apache-2.0
// Text generation token by token: greedy, or drawn from the likely ones.
#pragma once
#include <ATen/core/Generator.h>

#include <functional>
#include <span>

#include "pipelines/olmoe/finish_reason.h"
#include "pipelines/olmoe/model.h"

namespace polyphony::pipelines {

struct SamplingOptions {
  double temperature = 0;  // divides the logits; 0: always the likeliest token
  int64_t top_k = 0;       // draw from the K likeliest; 0: from all
  double top_p = 1;        // and of these from the fewest whose probabilities add up to top_p
  bool operator==(const SamplingOptions&) const = default;
};

// The next token for f32 logits (V). Ties go to the lower id. Where temperature is 0 the generator is not read.
// Throws UsageError for options out of range, NonFiniteError for logits that are NaN.
// Sources: top-k: Hierarchical Neural Story Generation (arXiv:1805.04833); top-p: The Curious Case of Neural Text
// Degeneration (arXiv:1904.09751).
int64_t sample_token(const at::Tensor& logits_V, const SamplingOptions& options, at::Generator& generator);

struct GenerateOptions {
  SamplingOptions sampling = {};
  int64_t max_tokens = 256;
};

// Reads the prompt after what the cache holds, then appends tokens until one of config.eos_token_ids (which on_token
// does not get), max_tokens, the end of the context, or until on_token returns false. The cache then holds the prompt
// and the tokens given, but for the last one where nothing came after it. Throws UsageError for a prompt that is empty
// or fills the context.
FinishReason generate_tokens(const OlmoeModel& model, std::span<const int64_t> prompt, const GenerateOptions& options,
                             at::Generator& generator, OlmoeCache& cache,
                             const std::function<bool(int64_t token)>& on_token);

}  // namespace polyphony::pipelines
