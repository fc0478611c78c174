// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/autoencoder_io.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/files.h"
#include "core/check.h"
#include "modalities/latent/ldm_names.h"

namespace polyphony::latent {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr auto kConfigFile = "config.json";
constexpr auto kWeightsFile = "diffusion_pytorch_model.safetensors";

}  // namespace

LoadedAutoencoder load_autoencoder(const std::filesystem::path& folder) {
  const auto config_path = folder / kConfigFile;
  auto parsed = parse_autoencoder_config(read_file(config_path, kMaxConfigBytes), config_path.string());
  LoadedAutoencoder loaded{.model = std::make_shared<AutoencoderKL>(parsed.config),
                           .warnings = std::move(parsed.warnings)};
  try {
    load_into(*loaded.model,
              with_current_names(load_tensors(folder), static_cast<int64_t>(parsed.config.block_out_channels.size())));
  } catch (const DataError& error) {
    throw DataError(join("[", folder.string(), "] ", error.what()));
  }
  loaded.model->eval();
  return loaded;
}

void save_autoencoder(const AutoencoderKL& model, const std::filesystem::path& folder) {
  save_tensors(folder / kWeightsFile, state_of(model), {{"format", "pt"}});
  write_file_atomic(folder / kConfigFile, autoencoder_config_json(model.config()));
}

TensorMap with_current_names(TensorMap tensors, int64_t levels) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> renames = {
      {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}}};
  const bool original_names = std::any_of(tensors.begin(), tensors.end(),
                                          [](const auto& entry) { return is_ldm_autoencoder_name(entry.first); });
  TensorMap out;
  for (auto& [name, tensor] : tensors) {
    std::string current = original_names ? diffusers_name_of_ldm(name, levels) : name;
    if (current.find(".attentions.") != std::string::npos) {
      for (const auto& [old_part, new_part] : renames)
        if (const size_t at = current.find(old_part); at != std::string::npos)
          current.replace(at, old_part.size(), new_part);
      if (tensor.dim() == 4 && tensor.size(2) == 1 && tensor.size(3) == 1) tensor = tensor.flatten(1);
    }
    check<DataError>(out.emplace(current, std::move(tensor)).second, "[autoencoder_kl] the weights hold ", current,
                     " twice, under an old and a new name");
  }
  return out;
}

}  // namespace polyphony::latent
