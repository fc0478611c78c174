// SPDX-License-Identifier: Apache-2.0
// The keys of [moe] that expert kinds take: where each goes, its range, and what it means.
#include "moe/expert_bank.h"

namespace polyphony::moe {

const std::vector<Option<ExpertBankConfig>>& expert_bank_options() {
  using C = ExpertBankConfig;
  static const std::vector<Option<C>> options = {
      {"expert_hidden", &C::expert_hidden, "width of an expert", {.min = 0}},
      {"activation", &C::activation, "of the gated product", {}, {"silu", "gelu"}},
      {"compute_dtype", &C::compute_dtype, "what the products run in", {}, {"float32", "bfloat16"}},
      {"expert_hidden_end", &C::expert_hidden_end, "width of the last expert, 0: as the first", {.min = 0}},
      {"size_progression", &C::size_progression, "how widths go on", {}, {"arithmetic", "geometric"}},
      {"num_zero", &C::num_zero, "experts that give 0: the last of num_experts,", {.min = 0}},
      {"num_copy", &C::num_copy, "experts that give their input: before those,", {.min = 0}},
      {"num_constant", &C::num_constant, "experts that mix the input with a vector: before those", {.min = 0}},
      {"lora_rank", &C::lora_rank, "rank of an expert's own weights", {.min = 1}},
      {"lora_alpha", &C::lora_alpha, "their scale is lora_alpha / lora_rank", {.above = 0}},
      {"freeze_base", &C::freeze_base, "the weights that experts share are not trained"},
      {"lsh_hashes", &C::lsh_hashes, "hashes that join similar rows of an expert, 0: none", {.min = 0, .max = 64}},
      {"lsh_seed", &C::lsh_seed, "seed of the hashes", {.min = 0}},
  };
  return options;
}

}  // namespace polyphony::moe
