// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/model.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include "core/check.h"
#include "modalities/latent/patchify.h"

namespace polyphony::pipelines {

JointGrid JointConfig::grid() const {
  return {.latent_rows = latent_size / latent_patch,
          .latent_columns = latent_size / latent_patch,
          .image_rows = image_size / image_patch,
          .image_columns = image_size / image_patch,
          .begin_id = begin_id,
          .end_id = end_id};
}

JointModel::JointModel(const JointConfig& config) : config_(config) {
  // Tokens of pictures and latents have their index within the span for an id.
  const auto grid = config.grid();
  const int64_t ids =
      std::max({config.vocab_size, grid.latent_rows * grid.latent_columns, grid.image_rows * grid.image_columns});
  const int64_t table = config.backbone.moe.router.hash_vocab_size;
  check<ConfigError>(table == 0 || table >= ids, "[moe] hash_vocab_size must be at least ", ids,
                     ", the vocabulary and the longest span, got ", table);
  const int64_t D = config.backbone.dim;
  const nn::RmsNormOptions norm{.dim = D, .eps = config.backbone.norm_eps};
  const int64_t latent_dim = config.latent_channels * config.latent_patch * config.latent_patch;
  text_embedding_ = register_module("text_embedding", torch::nn::Embedding(config.vocab_size, D));
  torch::nn::init::normal_(text_embedding_->weight, 0, 0.02);
  image_encoder_ = register_module(
      "image_encoder",
      std::make_shared<image::PatchEncoder>(image::PatchEncoderConfig{
          .image_size = config.image_size, .patch_size = config.image_patch, .dim = D, .hidden = config.image_hidden}));
  latent_in_ = register_module("latent_in", nn::Linear(latent_dim, D));
  timestep_ =
      register_module("timestep", std::make_shared<nn::TimestepEmbedder>(D, nn::TimestepOptions{.scale = 1000}));
  backbone_ = register_module("backbone", std::make_shared<moe::Backbone>(config.backbone));
  text_norm_ = register_module("text_norm", std::make_shared<nn::RmsNorm>(norm));
  latent_norm_ = register_module("latent_norm", std::make_shared<nn::RmsNorm>(norm));
  latent_ada_ln_ = register_module("latent_ada_ln", std::make_shared<nn::FinalAdaLn>(D));
  latent_out_ = register_module("latent_out", nn::Linear(D, latent_dim));
  torch::nn::init::zeros_(latent_out_->weight);
  torch::nn::init::zeros_(latent_out_->bias);
}

namespace {

void check_input(const JointInput& input, const JointConfig& c) {
  const auto num_draw = static_cast<int64_t>(input.texts.draw.size());
  const auto num_caption = static_cast<int64_t>(input.texts.caption.size());
  check<ShapeError>(num_draw + num_caption > 0, "[joint] expected at least one sample, got none");
  if (num_draw > 0) {
    const std::vector<int64_t> want{num_draw, c.latent_channels, c.latent_size, c.latent_size};
    check<ShapeError>(input.noisy_BCHW.defined() && input.noisy_BCHW.sizes() == want, "[joint] latents must be ",
                      at::IntArrayRef(want));
    check<ShapeError>(input.t_B.defined() && input.t_B.dim() == 1 && input.t_B.size(0) == num_draw,
                      "[joint] t must be (", num_draw, ")");
  }
  if (num_caption > 0) {
    const std::vector<int64_t> want{num_caption, 3, c.image_size, c.image_size};
    check<ShapeError>(input.pixels_NCHW.defined() && input.pixels_NCHW.sizes() == want, "[joint] pixels must be ",
                      at::IntArrayRef(want));
  }
  for (const auto* texts : {&input.texts.draw, &input.texts.caption})
    for (const auto& ids : *texts) {
      check<ShapeError>(static_cast<int64_t>(ids.size()) <= c.max_text_tokens, "[joint] a text has ", ids.size(),
                        " tokens, at most ", c.max_text_tokens, " are possible");
      for (const int64_t id : ids)
        check<ShapeError>(id >= 0 && id < c.vocab_size, "[joint] token id ", id, " is outside [0, ", c.vocab_size, ")");
    }
}

}  // namespace

JointOutput JointModel::forward(const JointInput& input, const moe::BackboneOptions& options) {
  check_input(input, config_);
  auto layout = joint_layout(input.texts, config_.grid());
  const bool draws = !input.texts.draw.empty();
  const bool captions = !input.texts.caption.empty();
  const auto dtype = text_embedding_->weight.scalar_type();

  std::vector<at::Tensor> table = {text_embedding_->forward(at::tensor(layout.text_ids, at::kLong))};
  if (captions) table.push_back(image_encoder_->forward(input.pixels_NCHW.to(dtype)).tokens_TD);
  moe::Conditioning conditioning;
  if (draws) {
    table.push_back(latent_in_->forward(latent::patchify(input.noisy_BCHW.to(dtype), {.patch = config_.latent_patch})));
    conditioning.condition_CD = timestep_->forward(input.t_B);
    conditioning.condition_T = layout.condition_T;
    conditioning.timestep_T =
        at::cat({at::zeros({1}, at::kFloat), input.t_B.to(at::kFloat)}).index_select(0, layout.condition_T);
  }
  for (auto& part : table) part = part.to(table.front().scalar_type());
  TokenSequence sequence = layout.fields;
  sequence.tokens_TD = at::cat(table).index_select(0, layout.source_T);

  auto trunk = backbone_->forward(sequence, conditioning, options);
  JointOutput out;
  if (draws) {
    const auto modulation = latent_ada_ln_->forward(conditioning.condition_CD);
    const auto grid = latent::latent_grid(input.noisy_BCHW, config_.latent_patch);
    const int64_t per_sample = grid.rows * grid.columns;
    const auto of_token = [&](const at::Tensor& rows_BD) { return rows_BD.repeat_interleave(per_sample, 0); };
    const auto h_LD = latent_norm_->forward(trunk.hidden_TD.index_select(0, layout.latent_rows));
    const auto y = latent_out_->forward(nn::modulate(h_LD, of_token(modulation.shift), of_token(modulation.scale)));
    out.clean_BCHW = latent::unpatchify(y.to(at::kFloat), grid, {.patch = config_.latent_patch});
  }
  if (captions) {
    const auto& rows = input.texts.caption_complete ? layout.predict_rows : layout.last_rows;
    const auto h_PD = text_norm_->forward(trunk.hidden_TD.index_select(0, rows));
    out.logits_PV = ops::linear(h_PD, text_embedding_->weight).to(at::kFloat);  // tied with the embedding
    if (input.texts.caption_complete) out.targets_P = layout.predict_targets;
  }
  out.routings = std::move(trunk.routings);
  out.fields = std::move(layout.fields);
  return out;
}

}  // namespace polyphony::pipelines
