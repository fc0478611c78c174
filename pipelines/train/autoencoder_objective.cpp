// SPDX-License-Identifier: Apache-2.0
// Trains the AutoencoderKL on rendered scenes: L1 and squared error of the picture, edges weighted, a little KL.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/rng.h"
#include "core/tensor_io.h"
#include "modalities/image/encode.h"
#include "modalities/latent/autoencoder_io.h"
#include "modalities/latent/autoencoder_kl.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/objectives.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace {

struct AutoencoderRecipe {
  latent::AutoencoderConfig model;
  int64_t batch_size = 32;
  double kl_weight = 1e-5, edge_weight = 1.0, square_weight = 4.0;
  bool train_encoder = true;  // false: the decoder alone, so that latents, and models of them, keep their meaning
};

AutoencoderRecipe read_recipe(Config& recipe) {
  AutoencoderRecipe out;
  const auto model = recipe.section("model");
  out.model.sample_size = scenes::kImageSize;
  out.model.latent_channels = model.integer("latent_channels", 4, {1, 64});
  out.model.block_out_channels = model.integers("block_out_channels", {16, 16, 32, 64}, {1, 2048});
  out.model.layers_per_block = model.integer("layers_per_block", 1, {1, 8});
  out.model.norm_num_groups = model.integer("norm_num_groups", 8, {1, 64});
  const auto objective = recipe.section("objective");
  out.batch_size = objective.integer("batch_size", 32, {1, 4096});
  out.kl_weight = objective.number("kl_weight", 1e-5, {.min = 0});
  out.edge_weight = objective.number("edge_weight", 1.0, {.min = 0});
  out.square_weight = objective.number("square_weight", 4.0, {.min = 0});
  out.train_encoder = objective.flag("train_encoder", true);
  return out;
}

// Squared error of horizontal and vertical differences: what blur gets wrong.
at::Tensor edge_loss(const at::Tensor& a, const at::Tensor& b) {
  const auto difference = [](const at::Tensor& x, int64_t axis) {
    return x.narrow(axis, 1, x.size(axis) - 1) - x.narrow(axis, 0, x.size(axis) - 1);
  };
  return (difference(a, 2) - difference(b, 2)).abs().mean() + (difference(a, 3) - difference(b, 3)).abs().mean();
}

class AutoencoderObjective : public Objective {
 public:
  AutoencoderObjective(Config& config, const ObjectiveOptions& options)
      : recipe_(read_recipe(config)),
        options_(options),
        stream_(options.seed, scenes::Split::train),
        model_(std::make_shared<latent::AutoencoderKL>(recipe_.model)) {
    if (!options.init_from.empty()) load_into(*model_, load_tensors(options.init_from), {});
    if (recipe_.train_encoder) return;
    config.section("objective")
        .require(!options.init_from.empty(), "train_encoder", "false needs --init-from: whose latents are kept");
    recipe_.model = latent::load_autoencoder(options.init_from).model->config();
    for (auto& item : model_->named_parameters())
      item.value().set_requires_grad(item.key().starts_with("decoder.") || item.key().starts_with("post_quant_conv."));
  }

  torch::nn::Module& module() override { return *model_; }
  int64_t samples_per_step() const override { return recipe_.batch_size; }

  Loss loss(int64_t step) override {
    const auto x = dense_scene_batch(stream_, static_cast<uint64_t>(step * recipe_.batch_size), recipe_.batch_size);
    auto generator = make_generator(derive_seed(options_.seed, "autoencoder", static_cast<uint64_t>(step)));
    const auto moments = model_->encode(x);
    const auto mean = moments.mean.to(at::kFloat), logvar = moments.logvar.to(at::kFloat);
    const auto z = latent::sample_latent({mean, logvar}, generator);
    const auto y = model_->decode(z).to(at::kFloat);
    const auto l1 = (y - x).abs().mean();
    const auto l2 = (y - x).square().mean();
    const auto edge = edge_loss(y, x);
    const auto kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean();
    return {.total = l1 + recipe_.square_weight * l2 + recipe_.edge_weight * edge + recipe_.kl_weight * kl,
            .parts = {{"l1", l1.detach()}, {"l2", l2.detach()}, {"edge", edge.detach()}, {"kl", kl.detach()}}};
  }

  // The scaling factor makes latents of unit variance, so that the flow starts from noise of the same size.
  void export_model(const std::filesystem::path& folder) override {
    const c10::InferenceMode inference;
    auto config = recipe_.model;
    if (!recipe_.train_encoder) return save_autoencoder(*model_, config, folder);
    const auto z = model_->encode(probe()).mean.to(at::kFloat);
    config.shift_factor = z.mean().item<double>();
    config.scaling_factor = 1.0 / z.std().item<double>();
    save_autoencoder(*model_, config, folder);
  }

  std::string sample_sheet() override {
    const c10::InferenceMode inference;
    const auto x = probe().narrow(0, 0, 16);
    const auto z = model_->encode(x).mean.to(at::kFloat);
    const auto y = model_->decode(z);
    return image::encode_png(contact_sheet(bytes_from_pixels(at::cat({x, y.to(at::kFloat)})), 8));
  }

 private:
  at::Tensor probe() const {
    return scene_batch(scenes::SceneStream(options_.seed + 1, scenes::Split::train), 0, 256).pixels_BCHW;
  }

  AutoencoderRecipe recipe_;
  ObjectiveOptions options_;
  scenes::SceneStream stream_;
  std::shared_ptr<latent::AutoencoderKL> model_;
};

}  // namespace

std::unique_ptr<Objective> make_autoencoder_objective(Config& recipe, const ObjectiveOptions& options) {
  return std::make_unique<AutoencoderObjective>(recipe, options);
}

}  // namespace polyphony::pipelines
