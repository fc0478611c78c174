// SPDX-License-Identifier: Apache-2.0
// The published sizes, and how many parameters a size has.
#include <array>

#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/dit_moe/config.h"

namespace polyphony::pipelines {
namespace {

struct Size {
  const char* name;
  int64_t depth, hidden_size, num_heads;
  bool qk_norm;
};

constexpr std::array kSizes = {
    Size{"S/2", 12, 384, 6, false},   Size{"B/2", 12, 768, 12, false}, Size{"L/2", 24, 1024, 16, false},
    Size{"XL/2", 28, 1152, 16, true}, Size{"G/2", 40, 1408, 16, true},
};
constexpr std::array<int64_t, 2> kExperts = {8, 16};

std::string preset_name(const Size& size, int64_t num_experts) { return join(size.name, "-", num_experts, "E2A"); }

int64_t linear(int64_t in, int64_t out) { return in * out + out; }

}  // namespace

std::vector<std::string> dit_moe_preset_names() {
  std::vector<std::string> names;
  for (const auto& size : kSizes)
    for (const int64_t experts : kExperts) names.push_back(preset_name(size, experts));
  return names;
}

DitMoeConfig dit_moe_preset(std::string_view name) {
  for (const auto& size : kSizes)
    for (const int64_t experts : kExperts)
      if (preset_name(size, experts) == name)
        return {.hidden_size = size.hidden_size,
                .depth = size.depth,
                .num_heads = size.num_heads,
                .num_experts = experts,
                .qk_norm = size.qk_norm,
                .pretraining_tp = size.qk_norm ? 1 : 2};
  fail<ConfigError>("[dit_moe] preset must be one of ", join_names(dit_moe_preset_names()), "; got '",
                    printable(name, 60), "'", did_you_mean(name, dit_moe_preset_names()));
}

ParameterCount count_parameters(const DitMoeConfig& c) {
  constexpr int64_t kSinusoids = 256;
  const int64_t D = c.hidden_size, patch_area = c.patch_size * c.patch_size;
  const int64_t embedders = linear(c.in_channels * patch_area, D) + linear(kSinusoids, D) + linear(D, D) +
                            (c.num_classes + (c.has_null_class() ? 1 : 0)) * D;
  const int64_t final_layer = linear(D, 2 * D) + linear(D, patch_area * c.out_channels());
  const int64_t qk_norm = c.qk_norm ? 4 * (D / c.num_heads) : 0;
  const int64_t attention = linear(D, 3 * D) + linear(D, D) + qk_norm;
  const int64_t expert = 3 * c.mlp_ratio * D * D, shared = 3 * c.num_shared_experts * D * D;
  const int64_t block = attention + linear(D, 6 * D) + c.num_experts * D + shared;  // all but the routed experts
  const auto with_experts = [&](int64_t E) { return embedders + final_layer + c.depth * (block + E * expert); };
  return {.total = with_experts(c.num_experts), .active = with_experts(c.num_experts_per_tok)};
}

}  // namespace polyphony::pipelines
