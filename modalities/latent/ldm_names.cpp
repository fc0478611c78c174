// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/ldm_names.h"

#include <array>
#include <charconv>
#include <utility>

namespace polyphony::latent {
namespace {

constexpr std::string_view kPrefix = "first_stage_model.";
constexpr std::string_view kUp = "decoder.up.";

// Replaced in this order, each at most once; longer names come before their parts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kRenames = {{
    {"encoder.down.", "encoder.down_blocks."},
    {"decoder.up.", "decoder.up_blocks."},
    {".block.", ".resnets."},
    {".nin_shortcut.", ".conv_shortcut."},
    {".mid.block_1.", ".mid_block.resnets.0."},
    {".mid.block_2.", ".mid_block.resnets.1."},
    {".mid.attn_1.norm.", ".mid_block.attentions.0.group_norm."},
    {".mid.attn_1.q.", ".mid_block.attentions.0.to_q."},
    {".mid.attn_1.k.", ".mid_block.attentions.0.to_k."},
    {".mid.attn_1.v.", ".mid_block.attentions.0.to_v."},
    {".mid.attn_1.proj_out.", ".mid_block.attentions.0.to_out.0."},
    {"coder.norm_out.", "coder.conv_norm_out."},
    {".downsample.conv.", ".downsamplers.0.conv."},
    {".upsample.conv.", ".upsamplers.0.conv."},
}};

std::string_view without_prefix(std::string_view name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

// The decoder's levels count from the other end.
std::string with_reversed_level(std::string_view name, int64_t levels) {
  if (!name.starts_with(kUp)) return std::string(name);
  int64_t level = 0;
  const char* begin = name.data() + kUp.size();
  const auto [end, error] = std::from_chars(begin, name.data() + name.size(), level);
  if (error != std::errc() || level < 0 || level >= levels) return std::string(name);
  return std::string(kUp) + std::to_string(levels - 1 - level) + std::string(end, name.data() + name.size());
}

}  // namespace

bool is_ldm_autoencoder_name(std::string_view name) {
  const std::string_view bare = without_prefix(name);
  return bare.starts_with("encoder.down.") || bare.starts_with(kUp);
}

std::string diffusers_name_of_ldm(std::string_view name, int64_t levels) {
  std::string out = with_reversed_level(without_prefix(name), levels);
  for (const auto& [old_part, new_part] : kRenames)
    if (const size_t at = out.find(old_part); at != std::string::npos) out.replace(at, old_part.size(), new_part);
  return out;
}

}  // namespace polyphony::latent
