// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/generate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

void check_sampling(const SamplingOptions& o) {
  check<UsageError>(o.temperature >= 0 && o.temperature <= 100, "[temperature] expected a number from 0 to 100, got ",
                    o.temperature);
  check<UsageError>(o.top_k >= 0, "[top-k] expected an integer from 0, got ", o.top_k);
  check<UsageError>(o.top_p > 0 && o.top_p <= 1, "[top-p] expected a number above 0 and up to 1, got ", o.top_p);
}

// How many of the falling probabilities are needed for a sum of top_p.
int64_t nucleus(const at::Tensor& falling_K, double top_p) {
  const auto before_K = falling_K.cumsum(0) - falling_K;
  return std::max<int64_t>((before_K < top_p).sum().item<int64_t>(), 1);
}

}  // namespace

int64_t sample_token(const at::Tensor& logits_V, const SamplingOptions& o, at::Generator& generator) {
  check_sampling(o);
  check<NonFiniteError>(!logits_V.isnan().any().item<bool>(), "[generate] the model gave logits that are NaN");
  if (o.temperature == 0) return logits_V.argmax().item<int64_t>();
  const int64_t V = logits_V.size(0), K = o.top_k == 0 ? V : std::min(o.top_k, V);
  const auto [logits_K, token_K] = logits_V.to(at::kDouble).sort(/*stable=*/true, 0, /*descending=*/true);
  auto probability_K = (logits_K.narrow(0, 0, K) / o.temperature).softmax(0);
  probability_K = probability_K.narrow(0, 0, nucleus(probability_K, o.top_p));
  return token_K[at::multinomial(probability_K, 1, false, generator).item<int64_t>()].item<int64_t>();
}

FinishReason generate_tokens(const OlmoeModel& model, std::span<const int64_t> prompt, const GenerateOptions& options,
                             at::Generator& generator, OlmoeCache& cache,
                             const std::function<bool(int64_t token)>& on_token) {
  const c10::InferenceMode inference;
  check_sampling(options.sampling);
  const auto& c = model.config;
  const auto length = static_cast<int64_t>(prompt.size());
  check<UsageError>(length > 0, "[generate] expected a prompt of at least one token, got none");
  check<UsageError>(cache.length() + length < c.max_position_embeddings, "[generate] the model reads at most ",
                    c.max_position_embeddings, " tokens, prompt and answer together; the prompt has ",
                    cache.length() + length);
  auto ids_T = at::tensor(at::ArrayRef<int64_t>(prompt.data(), prompt.size()), at::kLong);
  for (int64_t made = 0;; ++made) {
    if (made == options.max_tokens) return FinishReason::max_tokens;
    if (cache.length() + ids_T.size(0) > c.max_position_embeddings) return FinishReason::context;
    const auto logits_1V = forward(model, ids_T, cache, OlmoeLogits::last);
    const auto token = sample_token(logits_1V[0], options.sampling, generator);
    const auto& ends = c.eos_token_ids;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) return FinishReason::end_of_text;
    if (!on_token(token)) return FinishReason::stopped;
    ids_T = at::tensor({token}, at::kLong);
  }
}

}  // namespace polyphony::pipelines
