// SPDX-License-Identifier: Apache-2.0
// Trains DiT-MoE in either of its modes on pictures or latents with class labels.
// Source: arXiv:2407.11633, section 3.1, and its code where the paper is silent.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/rng.h"
#include "modalities/image/encode.h"
#include "modalities/latent/autoencoder_io.h"
#include "modalities/latent/flow_matching.h"
#include "moe/choice_bias.h"
#include "moe/expert_stats.h"
#include "pipelines/data/classes/class_data.h"
#include "pipelines/dit_moe/loss.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/dit_moe/sampler.h"
#include "pipelines/dit_moe/upcycle.h"
#include "pipelines/train/auxiliary_losses.h"
#include "pipelines/train/objectives.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

struct DitMoeRecipe {
  DitMoeMode mode = DitMoeMode::rectified_flow;
  fs::path images, latents, autoencoder;
  int64_t batch_size = 256;
  bool flip = true;
  int64_t sheet_steps = 20;
  double sheet_guidance = 4.0;
};

// A preset, with whatever keys the recipe sets beside it.
DitMoeConfig read_model(const Section& m, const Section& layer) {
  const auto preset = m.text("preset", "", [] {
    auto names = dit_moe_preset_names();
    names.emplace_back();
    return names;
  }());
  DitMoeConfig c = preset.empty() ? DitMoeConfig{} : dit_moe_preset(preset);
  for (const auto& [name, field] : kDitMoeIntegers) c.*field = m.integer(name, c.*field);
  c.mlp_ratio = m.integer("mlp_ratio", c.mlp_ratio);
  c.learn_sigma = m.flag("learn_sigma", c.learn_sigma);
  c.qk_norm = m.flag("qk_norm", c.qk_norm);
  c.norm_topk_prob = m.flag("norm_topk_prob", c.norm_topk_prob);
  c.aux_loss_alpha = m.number("aux_loss_alpha", c.aux_loss_alpha, {.min = 0});
  c.class_dropout_prob = m.number("class_dropout_prob", c.class_dropout_prob, {.min = 0, .max = 1});
  c.layer = read_dit_moe_layer(layer);
  check_dit_moe_config(c);
  return c;
}

DitMoeRecipe read_recipe(const Section& o) {
  DitMoeRecipe r;
  r.mode = o.text("mode", "rf", {"rf", "ddpm"}) == "rf" ? DitMoeMode::rectified_flow : DitMoeMode::ddpm;
  r.images = o.text("images", "");
  r.latents = o.text("latents", "");
  r.autoencoder = o.text("autoencoder", "");
  r.batch_size = o.integer("batch_size", 256, {1, 1 << 16});
  r.flip = o.flag("flip", r.latents.empty());
  r.sheet_steps = o.integer("sheet_steps", 20, {1, 1000});
  r.sheet_guidance = o.number("sheet_guidance", 4.0, {.min = 0, .max = 100});
  o.require(r.images.empty() != r.latents.empty(), "images",
            "either images (a folder of pictures a class) or latents (a .safetensors file) must be given");
  o.require(r.latents.empty() || !r.flip, "flip", "must be false: latents cannot be mirrored");
  return r;
}

class DitMoeObjective : public Objective {
 public:
  DitMoeObjective(Config& config, const ObjectiveOptions& options)
      : recipe_(read_recipe(config.section("objective"))), options_(options), schedule_(latent::linear_schedule()) {
    const auto section = config.section("model");
    const auto model = read_model(section, config.section("moe"));
    check_memory_to_train(static_cast<double>(count_parameters(model).total));
    if (!recipe_.autoencoder.empty()) pipeline_.autoencoder = latent::load_autoencoder(recipe_.autoencoder).model;
    open_data(model, section);
    section.require(recipe_.mode == DitMoeMode::rectified_flow || model.learn_sigma, "learn_sigma",
                    "must be true: DDPM learns the variances");
    pipeline_.mode = recipe_.mode;
    pipeline_.labels = data_->names();
    pipeline_.pixels = recipe_.latents.empty() && !pipeline_.autoencoder;
    pipeline_.model = std::make_shared<DitMoe>(model);
    if (!options.init_from.empty()) note_ = upcycle(*load_dit_moe_pipeline(options.init_from).model, *pipeline_.model);
  }

  torch::nn::Module& module() override { return *pipeline_.model; }
  int64_t samples_per_step() const override { return recipe_.batch_size; }
  std::string note() const override { return note_; }

  Loss loss(int64_t step) override {
    auto generator = make_generator(derive_seed(options_.seed, "dit_moe", static_cast<uint64_t>(step)));
    const auto batch = next_batch(step, generator);
    DitMoeOptions run{.generator = generator, .step = step};
    std::vector<moe::Routing> routings;
    run.on_block = [&](int64_t, const moe::DitBlockOutput& block) { routings.push_back(block.routing); };
    const bool flow = recipe_.mode == DitMoeMode::rectified_flow;
    const auto loss =
        flow ? rectified_flow_loss(*pipeline_.model, batch, run) : ddpm_loss(*pipeline_.model, schedule_, batch, run);
    const auto layers = moe_layers(pipeline_.model->blocks());
    for (size_t layer = 0; layer < layers.size(); ++layer) moe::follow_load(*layers[layer], routings[layer]);
    const int64_t T = routings.front().num_tokens, B = batch.x0.size(0);
    const auto modality_T = at::full({T}, static_cast<int64_t>(Modality::latent), at::kByte);
    moe::add_routings(counts_, routings, modality_T);
    Loss out{.total = loss.total(), .parts = {{"balance", loss.balance.detach()}}};
    const auto auxiliary = auxiliary_losses(
        layers, routings, {.modality_T = modality_T, .sample_T = at::arange(B, at::kLong).repeat_interleave(T / B)});
    if (auxiliary.defined()) {
      out.parts["auxiliary"] = auxiliary.detach();
      out.total = out.total + auxiliary;
    }
    if (flow) {
      out.parts["flow"] = loss.task.detach();
    } else {
      out.parts["mse"] = loss.mse_B.detach().mean();
      out.parts["bound"] = loss.bound_B.detach().mean();
    }
    return out;
  }

  void export_model(const fs::path& folder) override { save_dit_moe_pipeline(pipeline_, folder); }

  // Two of each of the first eight classes.
  std::string sample_sheet() override {
    if (!pipeline_.draws_pictures()) return {};
    const c10::InferenceMode inference;
    const int64_t columns = std::min<int64_t>(8, pipeline_.model->config().num_classes);
    pipeline_.model->eval();
    const bool flow = recipe_.mode == DitMoeMode::rectified_flow;
    const auto sampled = sample_dit_moe(
        pipeline_.model,
        {.sampler = flow ? DitMoeSampler::euler : DitMoeSampler::dpm_solver,
         .steps = recipe_.sheet_steps,
         .guidance = {.y_N = at::arange(columns, at::kLong).repeat({2}),
                      .scale = pipeline_.model->config().has_null_class() ? recipe_.sheet_guidance : 1.0}});
    pipeline_.model->train();
    return image::encode_png(contact_sheet(bytes_from_pixels(pixels_of(pipeline_, sampled.x)), columns));
  }

  std::map<std::string, double> statistics() override {
    auto out = expert_figures(counts_);
    counts_.clear();
    return out;
  }

 private:
  void open_data(const DitMoeConfig& model, const Section& section) {
    if (pipeline_.autoencoder)
      section.require(model.in_channels == pipeline_.autoencoder->config().latent_channels, "in_channels",
                      join("must be ", pipeline_.autoencoder->config().latent_channels, ", the autoencoder's"));
    if (recipe_.latents.empty()) {
      section.require(pipeline_.autoencoder || model.in_channels == 1 || model.in_channels == 3, "in_channels",
                      "must be 1 or 3 for pixels; latents need an autoencoder");
      data_ = open_class_images({.folder = recipe_.images,
                                 .autoencoder = pipeline_.autoencoder,
                                 .side = model.input_size,
                                 .channels = model.in_channels});
    } else {
      data_ = open_class_latents(recipe_.latents, model.in_channels, model.input_size);
    }
    section.require(data_->num_classes() <= model.num_classes, "num_classes",
                    join("must be at least ", data_->num_classes(), ", the classes of the data"));
  }

  // Every epoch shows each sample once, in an order of its own; a batch may span two.
  DitMoeBatch next_batch(int64_t step, at::Generator& generator) {
    const int64_t B = recipe_.batch_size, N = data_->size();
    std::vector<at::Tensor> x0;
    auto y_B = at::empty({B}, at::kLong);
    const auto flip_B = at::rand({B}, generator) < (recipe_.flip ? 0.5 : 0.0);
    for (int64_t b = 0; b < B; ++b) {
      const int64_t position = step * B + b;
      const auto i = order_of(position / N)[position % N].item<int64_t>();
      x0.push_back(data_->sample(i, flip_B[b].item<bool>(), generator));
      y_B[b] = data_->label(i);
    }
    DitMoeBatch batch{.x0 = at::stack(x0), .y_B = y_B};
    batch.noise = at::randn(batch.x0.sizes(), generator);
    batch.t_B = recipe_.mode == DitMoeMode::rectified_flow
                    ? latent::sample_times(B, {}, generator)
                    : at::randint(0, schedule_.num_timesteps(), {B}, generator, at::kLong);
    return batch;
  }

  const at::Tensor& order_of(int64_t epoch) {
    if (epoch != epoch_) {
      auto generator = make_generator(derive_seed(options_.seed, "epoch", static_cast<uint64_t>(epoch)));
      order_ = at::randperm(data_->size(), generator, at::kLong);
      epoch_ = epoch;
    }
    return order_;
  }

  DitMoeRecipe recipe_;
  ObjectiveOptions options_;
  latent::NoiseSchedule schedule_;
  DitMoePipeline pipeline_;
  std::unique_ptr<ClassData> data_;
  std::string note_;
  at::Tensor order_;  // of the samples in epoch_
  int64_t epoch_ = -1;
  std::vector<moe::ExpertCounts> counts_;  // one a layer, since the last log
};

}  // namespace

std::unique_ptr<Objective> make_dit_moe_objective(Config& recipe, const ObjectiveOptions& options) {
  return std::make_unique<DitMoeObjective>(recipe, options);
}

}  // namespace polyphony::pipelines
