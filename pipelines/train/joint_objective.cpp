// SPDX-License-Identifier: Apache-2.0
// Trains the joint model: flow matching on latents of rendered scenes and next words of their captions.
#include <ATen/ATen.h>
#include <torch/nn/functional/loss.h>

#include <cmath>

#include "core/base/files.h"
#include "core/check.h"
#include "core/rng.h"
#include "core/tensor_io.h"
#include "modalities/image/encode.h"
#include "moe/expert_stats.h"
#include "moe/losses/load_balance.h"
#include "moe/losses/router_z.h"
#include "pipelines/joint/draw.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/objectives.h"
#include "pipelines/train/picture_mix.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

struct JointRecipe {
  int64_t batch_size = 32;    // scenes a step; each is drawn and captioned
  int64_t pool_size = 65536;  // distinct scenes; their latents are encoded once and kept
  double caption_weight = 1.0, balance_weight = 0.01, z_weight = 1e-4;
  double text_dropout = 0.1;   // share of drawn pictures without their prompt, for guidance
  double min_t = 0.3;          // loss weight 1 / max(t, min_t)^2
  double t_shift = 1.0;        // t = s u / (1 + (s - 1) u) of u uniform in [0, 1]: above 1 more noise
  fs::path pictures;           // a folder of captioned pictures beside the scenes; empty: scenes alone
  double picture_share = 0.5;  // of the drawn and of the captioned samples of a step that come from it
  fs::path autoencoder;
  int64_t vocab_size = 0, tokenizer_sentences = 0;
  JointDefaults defaults;
};

JointRecipe read_recipe(Config& config) {
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

class JointObjective : public Objective {
 public:
  JointObjective(Config& config, const ObjectiveOptions& options)
      : recipe_(read_recipe(config)), options_(options), stream_(options.seed, scenes::Split::train) {
    if (options.init_from.empty())
      start_anew(config);
    else
      go_on_from(options.init_from, config);
    bundle_.defaults = recipe_.defaults;
    bundle_.autoencoder->eval();
    if (!recipe_.pictures.empty()) {
      mix_ = load_picture_mix(recipe_.pictures, bundle_);
      bundle_.words = mix_.new_words;
      taught_ = std::make_shared<DrawingParts>(bundle_);
    }
    latents_.resize(static_cast<size_t>(recipe_.pool_size / recipe_.batch_size));
  }

  torch::nn::Module& module() override { return taught_ ? *taught_ : static_cast<torch::nn::Module&>(*bundle_.model); }
  int64_t samples_per_step() const override { return recipe_.batch_size; }

  Loss loss(int64_t step) override {
    const int64_t B = recipe_.batch_size;
    auto generator = make_generator(derive_seed(options_.seed, "joint", static_cast<uint64_t>(step)));
    auto draw = scenes_to_draw(step);
    auto seen = scenes_to_caption(step);
    const auto u_B = at::rand({B}, generator);
    const auto t_B = recipe_.t_shift * u_B / (1 + (recipe_.t_shift - 1) * u_B);
    const auto t = t_B.reshape({B, 1, 1, 1});
    const auto noise = at::randn(draw.x.sizes(), generator);
    const auto dropped = at::rand({B}, generator) < recipe_.text_dropout;
    if (!mix_.ids.empty()) {
      put_pictures(draw, mix_.latents_NCHW, generator);
      put_pictures(seen, mix_.pixels_NCHW, generator);
    }
    for (int64_t i = 0; i < B; ++i)
      if (dropped[i].item<bool>()) draw.ids[static_cast<size_t>(i)].clear();
    const auto x0 = draw.x;
    const JointInput input{.texts = {.draw = std::move(draw.ids), .caption = std::move(seen.ids)},
                           .noisy_BCHW = (1 - t) * x0 + t * noise,
                           .t_B = t_B,
                           .pixels_NCHW = seen.x};
    const auto out = bundle_.model->forward(input, {.step = step});

    const auto weight = t_B.clamp_min(recipe_.min_t).pow(-2);
    const auto flow_B = (out.clean_BCHW - x0).square().mean({1, 2, 3});
    const auto flow = (weight * flow_B).mean();
    const auto words = at::cross_entropy_loss(out.logits_PV, out.targets_P);
    auto balance = at::zeros({}), z = at::zeros({});
    const auto& groups = bundle_.config.backbone.moe.groups;
    for (const auto& routing : out.routings) {
      balance =
          balance + moe::load_balance_loss(routing, {.scope = {.modality_T = out.fields.modality_T, .groups = groups}});
      z = z + moe::router_z_loss(routing);
    }
    moe::add_routings(counts_, out.routings, out.fields.modality_T);
    Loss loss{.total = flow + recipe_.caption_weight * words + recipe_.balance_weight * balance + recipe_.z_weight * z,
              .parts = {{"flow", flow.detach()},
                        {"clean_mse", flow_B.mean().detach()},
                        {"words", words.detach()},
                        {"balance", balance.detach()},
                        {"router_z", z.detach()}}};
    if (taught_) {
      const auto pixels = decoder_loss(*bundle_.autoencoder, mix_, scenes_to_decode(step), generator);
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
  void start_anew(Config& config) {
    auto model = joint_config(config);
    check_memory_to_train(parameter_estimate(model, recipe_.vocab_size));
    config.section("objective").required_text("autoencoder");
    bundle_.autoencoder = latent::load_autoencoder(recipe_.autoencoder).model;
    check_fits_scenes(model, bundle_.autoencoder->config(), config.section("model"));
    bundle_.tokenizer = scene_tokenizer(recipe_, config.section("objective"));
    bundle_.config = std::move(model);
    bundle_.config.vocab_size = bundle_.tokenizer->vocab_size();
    bundle_.config.begin_id = bundle_.tokenizer->bos_id();
    bundle_.config.end_id = bundle_.tokenizer->eos_id();
    bundle_.model = std::make_shared<JointModel>(bundle_.config);
  }

  // The folder brings its own autoencoder, tokenizer and sizes; a recipe may leave [model] and [moe] out.
  void go_on_from(const fs::path& folder, Config& config) {
    if (config.section("model").given()) joint_config(config);  // so that its keys count as known
    bundle_ = load_joint(folder);
  }

  // Latents or pixels (B, C, H, W) and the texts that go with them.
  struct Samples {
    at::Tensor x = {};
    std::vector<std::vector<int64_t>> ids = {};
  };

  std::vector<std::vector<int64_t>> encoded(const std::vector<std::string>& captions) const {
    std::vector<std::vector<int64_t>> ids;
    for (const auto& caption : captions) ids.push_back(bundle_.tokenizer->encode(caption));
    return ids;
  }

  // The pool repeats; each batch of it is encoded once, always as the same batch.
  Samples scenes_to_draw(int64_t step) {
    const int64_t B = recipe_.batch_size;
    const auto slot = static_cast<size_t>(step) % latents_.size();
    const auto batch = scene_batch(stream_, static_cast<uint64_t>(slot) * static_cast<uint64_t>(B), B);
    if (!latents_[slot].defined()) {
      const c10::NoGradGuard no_grad;
      const auto mean = bundle_.autoencoder->encode(batch.pixels_BCHW).mean;
      latents_[slot] = bundle_.autoencoder->to_latent(mean.to(at::kFloat)).contiguous();
    }
    return {latents_[slot], encoded(batch.captions)};
  }

  // Other scenes than the drawn ones, so that a step shows 2 B different ones. They never repeat: they need no latents.
  Samples scenes_to_caption(int64_t step) const {
    const auto first = (uint64_t{1} << 40) + static_cast<uint64_t>(step) * static_cast<uint64_t>(recipe_.batch_size);
    const auto batch = scene_batch(stream_, first, recipe_.batch_size);
    return {batch.pixels_BCHW, encoded(batch.captions)};
  }

  // A few scenes that the decoder must not forget.
  at::Tensor scenes_to_decode(int64_t step) const {
    return scene_batch(stream_, (uint64_t{1} << 41) + static_cast<uint64_t>(step * kDecodedScenes), kDecodedScenes)
        .pixels_BCHW;
  }

  // The first samples give their places to pictures of the user's folder, drawn with replacement.
  void put_pictures(Samples& samples, const at::Tensor& from_NCHW, at::Generator& generator) const {
    const int64_t count = std::llround(recipe_.picture_share * static_cast<double>(recipe_.batch_size));
    const auto pick = at::randint(std::ssize(mix_.ids), {count}, generator, at::kLong);
    samples.x = at::cat({from_NCHW.index_select(0, pick), samples.x.narrow(0, count, recipe_.batch_size - count)});
    for (int64_t i = 0; i < count; ++i)
      samples.ids[static_cast<size_t>(i)] = mix_.ids[static_cast<size_t>(pick[i].item<int64_t>())];
  }

  JointRecipe recipe_;
  ObjectiveOptions options_;
  scenes::SceneStream stream_;
  JointBundle bundle_;
  PictureMix mix_;
  std::shared_ptr<DrawingParts> taught_;  // what is trained when there are pictures
  std::vector<at::Tensor> latents_;
  std::vector<moe::ExpertCounts> counts_;  // one a layer, since the last log
};

}  // namespace

std::unique_ptr<Objective> make_joint_objective(Config& recipe, const ObjectiveOptions& options) {
  return std::make_unique<JointObjective>(recipe, options);
}

}  // namespace polyphony::pipelines
