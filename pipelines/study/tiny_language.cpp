// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/tiny_language.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/rng.h"

namespace polyphony::pipelines {
namespace {

// A stream of chance that is the same on every machine, which the distributions of <random> are not.
class Chance {
 public:
  explicit Chance(uint64_t seed) : state_(seed) {}
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  int64_t below(int64_t n) { return static_cast<int64_t>(unit() * static_cast<double>(n)); }

 private:
  uint64_t next() { return state_ = split_mix(state_); }
  uint64_t state_;
};

struct Sequence {
  int64_t domain = 0;
  std::vector<int64_t> tokens = {};
  std::vector<TokenKind> kinds = {};

  void add(int64_t token, TokenKind kind = TokenKind::plain) {
    tokens.push_back(token);
    kinds.push_back(kind);
  }
};

// Each successor is half as likely as the one before it; the last takes what is left.
int64_t draw_successor(const std::vector<int64_t>& words, Chance& chance) {
  size_t i = 0;
  while (i + 1 < words.size() && chance.unit() < 0.5) ++i;
  return words[i];
}

Sequence draw_sequence(const LanguageConfig& language, int64_t length, Chance chance) {
  Sequence out{.domain = chance.below(language.num_domains)};
  out.add(chance.below(language.num_words));
  bool may_ask = false;  // where two words stand side by side
  while (static_cast<int64_t>(out.tokens.size()) < length) {
    const int64_t last = out.tokens.back();
    const double u = may_ask ? chance.unit() : 1.0;
    const bool copies = u < language.copy_rate;
    const bool sums = !copies && u < language.copy_rate + language.sum_rate;
    if (copies) {
      out.add(language.copy_id());
      out.add(last, TokenKind::easy);
    } else if (sums) {
      const int64_t before = out.tokens[out.tokens.size() - 2];
      out.add(language.sum_id());
      out.add((before + last) % language.modulus, TokenKind::hard);
    } else {
      out.add(draw_successor(successors(language, out.domain, last), chance));
    }
    may_ask = !copies && !sums;
  }
  out.tokens.resize(static_cast<size_t>(length));  // a question may have reached one token too far
  out.kinds.resize(static_cast<size_t>(length));
  return out;
}

void check_language(const LanguageConfig& c) {
  check<ConfigError>(c.num_domains >= 1 && c.num_successors >= 1 && c.num_words >= c.num_successors,
                     "[language] expected a domain and at least as many words as successors, got ", c.num_domains,
                     " domains, ", c.num_words, " words and ", c.num_successors, " successors");
  check<ConfigError>(c.modulus >= 1 && c.modulus <= c.num_words, "[language] modulus must be in [1, ", c.num_words,
                     "], got ", c.modulus);
  check<ConfigError>(c.copy_rate >= 0 && c.sum_rate >= 0 && c.copy_rate + c.sum_rate <= 1,
                     "[language] copy_rate and sum_rate must be shares of one whole, got ", c.copy_rate, " and ",
                     c.sum_rate);
}

LmBatch draw_batch(const LanguageConfig& language, uint64_t seed, std::string_view stream, int64_t index,
                   const BatchSize& size) {
  check_language(language);
  const auto S = static_cast<size_t>(size.length);
  std::vector<int64_t> ids, targets, kinds, domains;
  for (int64_t b = 0; b < size.num_samples; ++b) {
    const auto row = static_cast<uint64_t>(index * size.num_samples + b);
    const auto drawn = draw_sequence(language, size.length + 1, Chance(derive_seed(seed, stream, row)));
    domains.push_back(drawn.domain);
    for (size_t s = 0; s < S; ++s) {
      ids.push_back(drawn.tokens[s]);
      targets.push_back(drawn.tokens[s + 1]);
      kinds.push_back(static_cast<int64_t>(drawn.kinds[s + 1]));
    }
  }
  return {.ids_T = at::tensor(ids, at::kLong),
          .targets_T = at::tensor(targets, at::kLong),
          .kind_T = at::tensor(kinds, at::kLong),
          .domain_B = at::tensor(domains, at::kLong),
          .num_samples = size.num_samples,
          .length = size.length};
}

}  // namespace

std::vector<int64_t> successors(const LanguageConfig& language, int64_t domain, int64_t word) {
  Chance chance(derive_seed(language.table_seed, "table", static_cast<uint64_t>(domain * language.num_words + word)));
  std::vector<int64_t> words;
  while (static_cast<int64_t>(words.size()) < language.num_successors) {
    const int64_t candidate = chance.below(language.num_words);
    if (std::find(words.begin(), words.end(), candidate) == words.end()) words.push_back(candidate);
  }
  return words;
}

LmBatch training_batch(const LanguageConfig& language, uint64_t seed, int64_t step, const BatchSize& size) {
  return draw_batch(language, seed, "training", step, size);
}

LmBatch held_out_batch(const LanguageConfig& language, int64_t index, const BatchSize& size) {
  return draw_batch(language, language.table_seed, "held out", index, size);
}

}  // namespace polyphony::pipelines
