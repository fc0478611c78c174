// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/joint_recipe.h"

#include "core/check.h"
#include "core/tensor_io.h"
#include "pipelines/data/scenes/dataset.h"
#include "pipelines/data/scenes/scene.h"
#include "pipelines/train/objectives.h"

namespace polyphony::pipelines {
namespace {

// The same words whatever the training seed: a tokenizer is part of the model, not of the run.
std::shared_ptr<text::Tokenizer> scene_tokenizer(const JointRecipe& recipe, const Section& objective) {
  const scenes::SceneStream stream(0, scenes::Split::train);
  std::vector<std::string> sentences;
  for (int64_t i = 0; i < recipe.tokenizer_sentences; ++i)
    sentences.push_back(stream[static_cast<uint64_t>(i)].caption);
  try {
    const auto bytes =
        text::train_tokenizer(sentences, {.vocab_size = recipe.vocab_size, .kind = text::TokenizerKind::bpe});
    return std::make_shared<text::Tokenizer>(text::Tokenizer::from_bytes(bytes));
  } catch (const DataError&) {
    objective.require(false, "vocab_size", "must hold every letter of the captions and not more than their words give");
    throw;
  }
}

void check_fits_scenes(const JointConfig& config, const latent::AutoencoderConfig& autoencoder, const Section& model) {
  const int64_t factor = int64_t{1} << (autoencoder.block_out_channels.size() - 1);
  model.require(config.image_size == scenes::kImageSize, "image_size",
                join("must be ", scenes::kImageSize, ", the scenes' side"));
  model.require(config.latent_channels == autoencoder.latent_channels, "latent_channels",
                join("must be ", autoencoder.latent_channels, ", the autoencoder's"));
  model.require(config.latent_size == config.image_size / factor, "latent_size",
                join("must be ", config.image_size / factor, ", what the autoencoder makes of a picture"));
}

}  // namespace

JointRecipe read_joint_recipe(Config& config) {
  const auto o = config.section("objective");
  JointRecipe r;
  r.batch_size = o.integer("batch_size", 32, {1, 4096});
  r.pool_size = o.integer("pool_size", 65536, {1, 1 << 24});
  r.caption_weight = o.number("caption_weight", 1.0, {.min = 0});
  r.balance_weight = o.number("balance_weight", 0.01, {.min = 0});
  r.z_weight = o.number("z_weight", 1e-4, {.min = 0});
  r.text_dropout = o.number("text_dropout", 0.1, {.min = 0, .max = 1});
  r.min_t = o.number("min_t", 0.3, {.max = 1, .above = 0});
  r.t_shift = o.number("t_shift", 1.0, {.above = 0});
  r.pictures = o.text("pictures", "");
  r.picture_share = o.number("picture_share", 0.5, {.min = 0, .max = 1});
  r.autoencoder = o.text("autoencoder", "");
  r.vocab_size = o.integer("vocab_size", 256, {16, 1 << 20});
  r.tokenizer_sentences = o.integer("tokenizer_sentences", 4000, {100, 1 << 20});
  const auto d = config.section("defaults");
  r.defaults.steps = d.integer("steps", 12, {1, 1000});
  r.defaults.guidance = d.number("guidance", 2.0, {.min = 0, .max = 100});
  o.require(r.pool_size % r.batch_size == 0, "pool_size", "must be a multiple of batch_size");
  return r;
}

JointBundle new_joint_bundle(const JointRecipe& recipe, Config& config) {
  JointBundle bundle;
  auto model = joint_config(config);
  check_memory_to_train(parameter_estimate(model, recipe.vocab_size));
  config.section("objective").required_text("autoencoder");
  bundle.autoencoder = latent::load_autoencoder(recipe.autoencoder).model;
  check_fits_scenes(model, bundle.autoencoder->config(), config.section("model"));
  bundle.tokenizer = scene_tokenizer(recipe, config.section("objective"));
  bundle.config = std::move(model);
  bundle.config.vocab_size = bundle.tokenizer->vocab_size();
  bundle.config.begin_id = bundle.tokenizer->bos_id();
  bundle.config.end_id = bundle.tokenizer->eos_id();
  bundle.model = std::make_shared<JointModel>(bundle.config);
  return bundle;
}

JointBundle joint_bundle_from(const std::filesystem::path& folder, Config& config) {
  if (config.section("model").given()) joint_config(config);  // so that its keys count as known
  return load_joint(folder);
}

}  // namespace polyphony::pipelines
