// SPDX-License-Identifier: Apache-2.0
// Tensor names of the original latent diffusion autoencoder, as single-file checkpoints hold them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace polyphony::latent {

// True for a set of weights that holds names such as decoder.up.0.block.0.norm1.weight.
bool is_ldm_autoencoder_name(std::string_view name);

// diffusers' name of an original one: "decoder.up.3.block.0.nin_shortcut.weight" of a model with 4 levels becomes
// "decoder.up_blocks.0.resnets.0.conv_shortcut.weight". A prefix "first_stage_model." is dropped; names that are the
// same in both come back as they are.
std::string diffusers_name_of_ldm(std::string_view name, int64_t levels);

}  // namespace polyphony::latent
