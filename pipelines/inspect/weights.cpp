// SPDX-License-Identifier: Apache-2.0
// One pass over the bytes of all tensors: an exponent of all ones is NaN or infinity in every binary float.
#include "pipelines/inspect/weights.h"

#include <cstring>
#include <map>
#include <optional>

#include "core/base/signals.h"
#include "core/base/text.h"

namespace polyphony::pipelines {
namespace {

using formats::DType;

template <class Word, Word kExponent>
int64_t count_full_exponents(std::span<const std::byte> bytes) {
  int64_t count = 0;
  for (size_t i = 0; i + sizeof(Word) <= bytes.size(); i += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + i, sizeof(Word));
    count += (word & kExponent) == kExponent;
  }
  return count;
}

int64_t count_non_finite(DType dtype, std::span<const std::byte> bytes) {
  switch (dtype) {
    case DType::f16:
      return count_full_exponents<uint16_t, 0x7c00>(bytes);
    case DType::bf16:
      return count_full_exponents<uint16_t, 0x7f80>(bytes);
    case DType::f32:
      return count_full_exponents<uint32_t, 0x7f800000>(bytes);
    case DType::f64:
      return count_full_exponents<uint64_t, 0x7ff0000000000000>(bytes);
    default:
      return 0;
  }
}

int64_t count_values(const formats::TensorInfo& tensor) {
  return static_cast<int64_t>(tensor.num_bytes() / formats::dtype_bytes(tensor.dtype));
}

// Our own config.json keeps them in a table "moe", with the experts in groups by modality.
std::optional<int64_t> grouped_experts(const nlohmann::json& moe) {
  const auto groups = moe.find("groups");
  if (groups == moe.end() || !groups->is_array() || groups->empty()) return std::nullopt;
  int64_t sum = 0;
  for (const auto& group : *groups) {
    if (!group.is_object() || !group.contains("num_experts") || !group["num_experts"].is_number_unsigned())
      return std::nullopt;
    sum += group["num_experts"].get<int64_t>();
  }
  return sum;
}

std::optional<int64_t> first_of(const nlohmann::json& config, const std::vector<const char*>& keys) {
  for (const auto* key : keys)
    if (const auto it = config.find(key); it != config.end() && it->is_number_unsigned()) return it->get<int64_t>();
  return std::nullopt;
}

}  // namespace

void inspect_weights(const formats::SafetensorsSet& weights, Inspection& out) {
  std::map<DType, DtypeShare> shares;
  std::vector<std::byte> buffer;
  for (const auto& [name, entry] : weights.entries()) {
    throw_if_interrupted();
    const auto& tensor = entry.tensor;
    buffer.resize(tensor.num_bytes());
    weights.read(entry, buffer);
    const auto bad = count_non_finite(tensor.dtype, buffer);
    if (bad > 0 && out.non_finite == 0)
      out.warnings.push_back("'" + printable(name, 100) + "' holds " + std::to_string(bad) +
                             " values that are NaN or infinite");
    out.non_finite += bad;
    auto& share = shares[tensor.dtype];
    share.dtype = formats::dtype_name(tensor.dtype);
    share.tensors += 1;
    share.parameters += count_values(tensor);
    out.parameters_total += count_values(tensor);
    out.memory_bytes += tensor.num_bytes();
  }
  for (auto& [dtype, share] : shares) out.dtypes.push_back(std::move(share));
  out.files = static_cast<int64_t>(weights.files().size());
  out.tensors = static_cast<int64_t>(weights.entries().size());
  for (const auto& warning : weights.warnings()) out.warnings.push_back(warning);
}

int64_t count_active(const formats::SafetensorsSet& weights, const nlohmann::json& config) {
  const auto own = config.find("moe");
  const auto& moe = own != config.end() && own->is_object() ? *own : config;
  auto experts = grouped_experts(moe);
  if (!experts) experts = first_of(moe, {"num_experts", "num_local_experts", "n_routed_experts"});
  const auto chosen = first_of(moe, {"experts_per_token", "num_experts_per_tok", "moe_topk"});
  const bool is_moe = experts && chosen && *experts > 0 && *chosen <= *experts;
  int64_t dense = 0, routed = 0;
  for (const auto& [name, entry] : weights.entries()) {
    // A routed expert's weights: one module an expert ("experts.3."), or one bank with the experts in front.
    const bool shared = name.find("shared_expert") != std::string::npos;
    const bool in_expert = is_moe && name.find("experts.") != std::string::npos && !shared;
    (in_expert ? routed : dense) += count_values(entry.tensor);
  }
  // Divided once: the experts together divide evenly, a single tensor of one expert need not.
  return is_moe ? dense + routed / *experts * *chosen + routed % *experts : dense;
}

}  // namespace polyphony::pipelines
