// SPDX-License-Identifier: Apache-2.0
// The modalities of a token. A new modality is one enumerator and one name here, and a row in each allowed_ME table.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace polyphony {

enum class Modality : uint8_t { text, image, audio, latent };

inline constexpr std::array<std::string_view, 4> kModalityNames = {"text", "image", "audio", "latent"};
inline constexpr int64_t kNumModalities = static_cast<int64_t>(kModalityNames.size());

constexpr std::string_view modality_name(Modality modality) { return kModalityNames[static_cast<size_t>(modality)]; }

constexpr std::optional<Modality> modality_from_name(std::string_view name) {
  for (size_t i = 0; i < kModalityNames.size(); ++i)
    if (kModalityNames[i] == name) return static_cast<Modality>(i);
  return std::nullopt;
}

}  // namespace polyphony
