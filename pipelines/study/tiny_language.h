// SPDX-License-Identifier: Apache-2.0
// A made-up language of which everything is known: what is easy, what is hard, and which domain a sequence is from.
//
// Each domain has a Markov table of its own over shared words: a word is followed by one of a few others. Between the
// words stand two kinds of questions, answered by the token that follows them:
//   w COPY w       the word before the marker again             easy: one rule, without exception
//   v w SUM s      s = (v + w) mod `modulus`                     hard: a table of modulus^2 sums over all words
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace polyphony::pipelines {

enum class TokenKind : int64_t { plain, easy, hard };
inline constexpr int64_t kTokenKinds = 3;

struct LanguageConfig {
  int64_t num_domains = 4;
  int64_t num_words = 64;
  int64_t num_successors = 4;  // words that may follow a word in a domain: each half as likely as the one before
  int64_t modulus = 8;         // at most num_words
  double copy_rate = 0.2;      // of the places between two words where a question may stand
  double sum_rate = 0.2;
  uint64_t table_seed = 7;  // of the tables: all runs share the language

  int64_t copy_id() const { return num_words; }
  int64_t sum_id() const { return num_words + 1; }
  int64_t vocab_size() const { return num_words + 2; }
};

// B samples of S tokens, packed: T = B * S. All i64.
struct LmBatch {
  at::Tensor ids_T = {};
  at::Tensor targets_T = {};  // the token after each
  at::Tensor kind_T = {};     // TokenKind of the target
  at::Tensor domain_B = {};
  int64_t num_samples = 0;  // B
  int64_t length = 0;       // S
};

struct BatchSize {
  int64_t num_samples = 16;
  int64_t length = 32;
};

// The batch of a training step: equal arguments give equal bits. Throws ConfigError for a language that cannot be.
LmBatch training_batch(const LanguageConfig& language, uint64_t seed, int64_t step, const BatchSize& size);
// Sequences of a stream that no training step draws from; the same for all runs.
LmBatch held_out_batch(const LanguageConfig& language, int64_t index, const BatchSize& size);

// Words that may follow `word` in `domain`, the likeliest first; all different.
std::vector<int64_t> successors(const LanguageConfig& language, int64_t domain, int64_t word);

}  // namespace polyphony::pipelines
