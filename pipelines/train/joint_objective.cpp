// SPDX-License-Identifier: Apache-2.0
// Trains the joint model: flow matching on latents of rendered scenes and next words of their captions.
#include <ATen/ATen.h>

#include <optional>

#include "core/check.h"
#include "modalities/image/encode.h"
#include "moe/choice_bias.h"
#include "moe/expert_stats.h"
#include "pipelines/joint/draw.h"
#include "pipelines/train/auxiliary_losses.h"
#include "pipelines/train/joint_loss.h"
#include "pipelines/train/joint_recipe.h"
#include "pipelines/train/objectives.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

class JointObjective : public Objective {
 public:
  JointObjective(Config& config, const ObjectiveOptions& options)
      : recipe_(read_joint_recipe(config)),
        options_(options),
        bundle_(options.init_from.empty() ? new_joint_bundle(recipe_, config)
                                          : joint_bundle_from(options.init_from, config)) {
    bundle_.defaults = recipe_.defaults;
    bundle_.autoencoder->eval();
    PictureMix mix;
    if (!recipe_.pictures.empty()) {
      mix = load_picture_mix(recipe_.pictures, bundle_);
      bundle_.words = mix.new_words;
      taught_ = std::make_shared<DrawingParts>(bundle_);
    }
    data_.emplace(recipe_, bundle_, std::move(mix), options.seed);
  }

  torch::nn::Module& module() override { return taught_ ? *taught_ : static_cast<torch::nn::Module&>(*bundle_.model); }
  int64_t samples_per_step() const override { return recipe_.batch_size; }

  Loss loss(int64_t step) override {
    auto generator = joint_generator(options_.seed, step);
    const auto batch = joint_step(*data_, recipe_, generator, step);
    const auto out = bundle_.model->forward(batch.input, {.step = step});
    auto loss = joint_loss(out, batch, recipe_, bundle_.config.backbone.moe.groups);
    moe::add_routings(counts_, out.routings, out.fields.modality_T);
    const auto layers = moe_layers(bundle_.model->backbone()->blocks());
    for (size_t layer = 0; layer < layers.size(); ++layer) moe::follow_load(*layers[layer], out.routings[layer]);
    const auto auxiliary = auxiliary_losses(
        layers, out.routings, {.modality_T = out.fields.modality_T, .sample_T = sample_of_token(out.fields)});
    if (auxiliary.defined()) {
      loss.parts["auxiliary"] = auxiliary.detach();
      loss.total = loss.total + auxiliary;
    }
    if (taught_) {
      const auto pixels = decoder_loss(*bundle_.autoencoder, data_->mix(), data_->to_decode(step), generator);
      loss.parts["pixels"] = pixels.detach();
      loss.total = loss.total + pixels;
    }
    return loss;
  }

  void export_model(const fs::path& folder) override { save_joint(bundle_, folder); }

  std::string sample_sheet() override {
    bundle_.model->eval();
    const scenes::SceneStream held_out(1, scenes::Split::held_out);
    std::vector<std::vector<int64_t>> prompts;
    std::vector<uint64_t> seeds;
    for (int64_t i = 0; i < 16; ++i) {
      const auto example = held_out[static_cast<uint64_t>(i)];
      prompts.push_back(bundle_.tokenizer->encode(example.caption));
      seeds.push_back(static_cast<uint64_t>(i));
    }
    const auto z =
        draw_latents(*bundle_.model, prompts,
                     {.steps = recipe_.defaults.steps, .guidance = recipe_.defaults.guidance, .seeds = seeds});
    const c10::InferenceMode inference;
    const auto drawn = bundle_.autoencoder->decode(bundle_.autoencoder->from_latent(*z));
    const auto wanted = scene_batch(held_out, 0, 16).pixels_BCHW;
    bundle_.model->train();
    return image::encode_png(contact_sheet(bytes_from_pixels(at::cat({wanted, drawn.to(at::kFloat)})), 8));
  }

  std::map<std::string, double> statistics() override {
    auto out = expert_figures(counts_);
    counts_.clear();
    return out;
  }

 private:
  JointRecipe recipe_;
  ObjectiveOptions options_;
  JointBundle bundle_;
  std::shared_ptr<DrawingParts> taught_;  // what is trained when there are pictures of the user's
  std::optional<JointData> data_;
  std::vector<moe::ExpertCounts> counts_;  // one a layer, since the last log
};

}  // namespace

std::unique_ptr<Objective> make_joint_objective(Config& recipe, const ObjectiveOptions& options) {
  return std::make_unique<JointObjective>(recipe, options);
}

}  // namespace polyphony::pipelines
