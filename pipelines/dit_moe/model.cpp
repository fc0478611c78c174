// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/model.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/check.h"
#include "core/nn/layer_norm.h"
#include "core/nn/sin_cos_positions.h"
#include "modalities/latent/patchify.h"
#include "moe/losses/load_balance.h"
#include "pipelines/dit_moe/published.h"

namespace polyphony::pipelines {
namespace {

const DitMoeConfig& checked(const DitMoeConfig& config) {
  check_dit_moe_config(config);
  return config;
}

}  // namespace

DitMoe::DitMoe(const DitMoeConfig& config)
    : config_(checked(config)),
      x_embedder_(config.in_channels * config.patch_size * config.patch_size, config.hidden_size),
      final_linear_(config.hidden_size, config.out_channels() * config.patch_size * config.patch_size) {
  const int64_t D = config_.hidden_size;
  register_module("x_embedder", x_embedder_);
  t_embedder_ = register_module("t_embedder", std::make_shared<nn::TimestepEmbedder>(
                                                  D, nn::TimestepOptions{.period_shift = config_.timestep_period_shift,
                                                                         .scale = config_.timestep_scale}));
  y_embedder_ = register_module(
      "y_embedder", std::make_shared<nn::LabelEmbedder>(nn::LabelEmbedderOptions{
                        .num_classes = config_.num_classes, .dim = D, .dropout = config_.class_dropout_prob}));
  const auto blocks = register_module("blocks", torch::nn::ModuleList());
  for (int64_t layer = 0; layer < config_.depth; ++layer) {
    const auto moe = moe::config_of_layer(config_.moe(), layer, config_.depth);
    blocks_.push_back(std::make_shared<moe::DitBlock>(moe::DitBlockOptions{
        .num_heads = config_.num_heads, .qk_norm = config_.qk_norm, .norm_eps = config_.norm_eps, .moe = moe}));
    blocks->push_back(blocks_.back());
    if (layer > 0)
      if (const auto shared = blocks_[0]->moe()->router()->shared_part())
        blocks_.back()->moe()->router()->share(shared);
  }
  final_ada_ln_ = register_module("final_ada_ln", std::make_shared<nn::FinalAdaLn>(D));
  register_module("final_linear", final_linear_);
  pos_embed_ =
      register_buffer("pos_embed", nn::sin_cos_positions(config_.grid(), config_.grid(), D).unsqueeze(0).contiguous());
  initialise_as_published(*this);
}

void DitMoe::check_input(const DitMoeInput& in) const {
  const int64_t C = config_.in_channels, side = config_.input_size;
  check<ShapeError>(in.x_BCHW.defined() && in.x_BCHW.dim() == 4 && in.x_BCHW.is_floating_point() &&
                        in.x_BCHW.sizes().slice(1) == at::IntArrayRef({C, side, side}),
                    "[dit_moe] x must be floating (B, ", C, ", ", side, ", ", side, "), got ",
                    in.x_BCHW.defined() ? join(in.x_BCHW.scalar_type(), " ", in.x_BCHW.sizes()) : "none");
  const int64_t B = in.x_BCHW.size(0);
  check<ShapeError>(in.t_B.defined() && in.t_B.sizes() == at::IntArrayRef({B}), "[dit_moe] t must be (", B, "), got ",
                    in.t_B.defined() ? join(in.t_B.sizes()) : "none");
  check<ShapeError>(in.y_B.defined() && in.y_B.sizes() == at::IntArrayRef({B}) && in.y_B.scalar_type() == at::kLong,
                    "[dit_moe] y must be i64 (", B, "), got ",
                    in.y_B.defined() ? join(in.y_B.scalar_type(), " ", in.y_B.sizes()) : "none");
  if (B == 0) return;
  const int64_t last = config_.num_classes - (config_.has_null_class() ? 0 : 1);
  const auto low = in.y_B.min().item<int64_t>(), high = in.y_B.max().item<int64_t>();
  check<DataError>(low >= 0 && high <= last, "[dit_moe] y must be in [0, ", last,
                   config_.has_null_class() ? "] (the last one is the null class), got " : "], got ",
                   low < 0 ? low : high);
}

DitMoeOutput DitMoe::forward(const DitMoeInput& input, const DitMoeOptions& options) {
  check_input(input);
  if (packed_) return forward_packed(input, options);
  check<ShapeError>(!options.replay || std::ssize(*options.replay) == config_.depth, "[dit_moe] replay must hold ",
                    config_.depth, " routings, one a layer");
  const auto dtype = x_embedder_->weight.scalar_type();
  const auto grid = latent::latent_grid(input.x_BCHW, config_.patch_size);
  const int64_t B = grid.batch, S = grid.rows * grid.columns;
  const auto patches_TF = latent::patchify(input.x_BCHW.to(dtype), {.patch = config_.patch_size});
  auto x_BSD = x_embedder_(patches_TF).view({B, S, config_.hidden_size}) + pos_embed_;
  const auto y_B = y_embedder_->dropped(input.y_B, options.generator);  // routers see the null class, too
  const auto condition_BD = t_embedder_->forward(input.t_B) + y_embedder_->embedded(y_B);

  const auto sequence = latent::latent_sequence(x_BSD.flatten(0, 1), grid);
  const auto layout = nn::make_attention_layout(sequence);
  moe::RoutingContext context{.modality_T = sequence.modality_T,
                              .token_id_T = sequence.token_id_T,
                              .sample_T = sample_of_token(sequence),
                              .timestep_T = input.t_B.to(at::kFloat).repeat_interleave(S),
                              .label_T = y_B.repeat_interleave(S),
                              .step = options.step};
  if (options.generator) context.generator = options.generator;
  DitMoeOutput out;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    context.layer = static_cast<int64_t>(i);
    auto block =
        blocks_[i]->forward(x_BSD, condition_BD, layout, context, options.replay ? &(*options.replay)[i] : nullptr);
    if (options.on_block) options.on_block(context.layer, block);
    x_BSD = block.x_BSD;
    context.state_TP = block.routing.state_TP;
    out.routings.push_back(std::move(block.routing));
  }
  const auto m = final_ada_ln_->forward(condition_BD);
  const auto normed_BSD =
      nn::modulate(nn::layer_norm(x_BSD, {}, {}, config_.norm_eps), m.shift.unsqueeze(1), m.scale.unsqueeze(1));
  out.out_BCHW = latent::unpatchify(final_linear_(normed_BSD.flatten(0, 1)).to(at::kFloat), grid,
                                    {.patch = config_.patch_size, .order = latent::PatchOrder::channel_last});
  return out;
}

DitMoeOutput DitMoe::forward_packed(const DitMoeInput& input, const DitMoeOptions& options) {
  check<ConfigError>(!options.replay && !options.on_block, "[dit_moe] a packed model takes no replay and no taps");
  const at::NoGradGuard no_grad;
  const auto grid = latent::latent_grid(input.x_BCHW, config_.patch_size);
  const auto modulation_BM = input.modulation_BM.defined() ? input.modulation_BM : modulations(input.t_B, input.y_B);
  auto out =
      packed_->forward(latent::patchify(input.x_BCHW.to(at::kFloat), {.patch = config_.patch_size}), modulation_BM);
  return {.out_BCHW = latent::unpatchify(out.patches_TF, grid,
                                         {.patch = config_.patch_size, .order = latent::PatchOrder::channel_last}),
          .routings = std::move(out.routings)};
}

void DitMoe::pack() {
  check<ConfigError>(config_.published_layer(),
                     "[dit_moe] only the published layer of experts can be packed, got router '",
                     config_.layer.router.name, "' and experts '", config_.layer.experts.name, "'");
  eval();
  if (!packed_) packed_ = std::make_shared<const PackedDitMoe>(config_, *this);
}

at::Tensor DitMoe::modulations(const at::Tensor& t_B, const at::Tensor& y_B) {
  check<ConfigError>(packed(), "[dit_moe] only a packed model gives its modulations");
  const at::NoGradGuard no_grad;
  return packed_->modulations(t_embedder_->forward(t_B) + y_embedder_->forward(y_B, std::nullopt));
}

at::Tensor DitMoe::balance_loss(const std::vector<moe::Routing>& routings) const {
  check<ShapeError>(!routings.empty(), "[dit_moe] expected one routing a layer, got none");
  auto loss = at::zeros({}, routings.front().weight_N.options());
  for (const auto& routing : routings)
    if (routing.score_TE.defined()) loss = loss + moe::load_balance_loss(routing);
  return config_.aux_loss_alpha * loss;
}

void DitMoe::set_dtype(at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : named_parameters())
    if (parameter.key().find("moe.gate.") == std::string::npos) parameter.value().set_data(parameter.value().to(dtype));
  pos_embed_.set_data(pos_embed_.to(dtype));
}

}  // namespace polyphony::pipelines
