// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/folder.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/check.h"
#include "core/tensor_io.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr uint64_t kMaxTokenizerBytes = 64 << 20;

std::map<std::string, at::Tensor> stored_as(std::map<std::string, at::Tensor> state, at::ScalarType dtype) {
  for (auto& [name, tensor] : state)
    if (tensor.is_floating_point()) tensor = tensor.to(dtype);
  return state;
}

}  // namespace

void save_autoencoder(latent::AutoencoderKL& autoencoder, const latent::AutoencoderConfig& config,
                      const fs::path& folder, at::ScalarType dtype) {
  fs::create_directories(folder);
  save_tensors(folder / "diffusion_pytorch_model.safetensors", stored_as(state_of(autoencoder), dtype), {});
  write_file_atomic(folder / "config.json", latent::autoencoder_config_json(config));
}

JointBundle load_joint(const fs::path& folder) try {
  const auto path = folder / "config.json";
  const auto text = read_file(path, kMaxConfigBytes);
  auto config = Config::from_json_string(text, path.string());
  const auto root = config.root();
  const auto type = root.text("model_type", "");
  check<DataError>(type == kJointModelType, "[joint] ", path.string(), ": model_type must be ", kJointModelType,
                   ", got '", type, "'");
  JointBundle bundle;
  bundle.config = joint_config(config);
  const auto model = config.section("model");
  bundle.config.vocab_size = model.required_integer("vocab_size", {1, 1 << 24});
  bundle.config.begin_id = model.required_integer("begin_id", {0, bundle.config.vocab_size - 1});
  bundle.config.end_id = model.required_integer("end_id", {0, bundle.config.vocab_size - 1});
  const auto defaults = config.section("defaults");
  bundle.defaults = {.steps = defaults.integer("steps", 12, {1, 1000}),
                     .guidance = defaults.number("guidance", 2.0, {.min = 0, .max = 100})};
  bundle.words = root.texts("words", {});
  config.check_all_used();

  bundle.tokenizer = std::make_shared<text::Tokenizer>(text::Tokenizer::from_bytes(
      read_file(folder / "tokenizer.model", kMaxTokenizerBytes), (folder / "tokenizer.model").string()));
  check<DataError>(bundle.tokenizer->vocab_size() == bundle.config.vocab_size, "[joint] ", folder.string(),
                   ": the tokenizer has ", bundle.tokenizer->vocab_size(), " pieces, config.json says ",
                   bundle.config.vocab_size);
  bundle.model = std::make_shared<JointModel>(bundle.config);
  try {
    load_into(*bundle.model, load_tensors(folder));
  } catch (const DataError& error) {
    throw DataError(join("[", folder.string(), "] ", error.what()));
  }
  bundle.model->eval();
  bundle.autoencoder = latent::load_autoencoder(folder / "vae").model;
  bundle.autoencoder->eval();
  return bundle;
} catch (const ConfigError& error) {
  throw DataError(error.what());  // the config.json of a model is data; a recipe is the user's own word
}

void save_joint(const JointBundle& bundle, const fs::path& folder, at::ScalarType dtype) {
  fs::create_directories(folder);
  save_autoencoder(*bundle.autoencoder, bundle.autoencoder->config(), folder / "vae", dtype);
  write_file_atomic(folder / "tokenizer.model", bundle.tokenizer->model_bytes());
  save_tensors(folder / "model.safetensors", stored_as(state_of(*bundle.model), dtype), {});
  auto json = nlohmann::ordered_json::parse(joint_config_json(bundle.config));
  json["defaults"] = {{"steps", bundle.defaults.steps}, {"guidance", bundle.defaults.guidance}};
  if (!bundle.words.empty()) json["words"] = bundle.words;
  write_file_atomic(folder / "config.json", json.dump(2) + "\n");
}

}  // namespace polyphony::pipelines
