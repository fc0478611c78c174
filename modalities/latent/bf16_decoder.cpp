// SPDX-License-Identifier: Apache-2.0
// Every step takes a map with the sums that a group norm needs and gives one: ops::conv_map counts them on the way.
#include "modalities/latent/bf16_decoder.h"

#include <ATen/ATen.h>

#include <map>

#include "core/check.h"
#include "core/ops/conv_map/conv_map.h"

namespace polyphony::latent {
namespace {

using ops::PackedConv;
using Parameters = std::map<std::string, at::Tensor>;

constexpr double kNormEps = 1e-6;

struct Norm {
  int64_t groups = 0;
  at::Tensor weight_C, bias_C;  // f64
};

struct Resnet {
  Norm norm1, norm2;
  PackedConv conv1, conv2;
  std::optional<PackedConv> shortcut;
};

struct Attention {
  Norm norm;
  PackedConv qkv, out;
};

struct Level {
  std::vector<Resnet> resnets;
  std::optional<PackedConv> upsample;
};

struct Reader {
  const Parameters& parameters;
  int64_t groups;

  bool has(const std::string& name) const { return parameters.contains(name + ".weight"); }
  const at::Tensor& weight(const std::string& name) const { return parameters.at(name + ".weight"); }
  const at::Tensor& bias(const std::string& name) const { return parameters.at(name + ".bias"); }

  Norm norm(const std::string& name) const {
    return {.groups = groups, .weight_C = weight(name).to(at::kDouble), .bias_C = bias(name).to(at::kDouble)};
  }
  PackedConv conv(const std::string& name) const { return ops::pack_conv(weight(name), bias(name)); }

  // Linear layers over channels, one below the other, as a convolution of one place.
  PackedConv linears(const std::vector<std::string>& names) const {
    std::vector<at::Tensor> weights, biases;
    for (const auto& name : names) {
      weights.push_back(weight(name));
      biases.push_back(bias(name));
    }
    return ops::pack_conv(at::cat(weights).unsqueeze(2).unsqueeze(3), at::cat(biases));
  }

  Resnet resnet(const std::string& name) const {
    Resnet out{.norm1 = norm(name + ".norm1"),
               .norm2 = norm(name + ".norm2"),
               .conv1 = conv(name + ".conv1"),
               .conv2 = conv(name + ".conv2"),
               .shortcut = {}};
    if (has(name + ".conv_shortcut")) out.shortcut = conv(name + ".conv_shortcut");
    return out;
  }

  Attention attention(const std::string& name) const {
    return {.norm = norm(name + ".group_norm"),
            .qkv = linears({name + ".to_q", name + ".to_k", name + ".to_v"}),
            .out = linears({name + ".to_out.0"})};
  }

  Level level(const std::string& name) const {
    Level out;
    for (size_t i = 0; has(join(name, ".resnets.", i, ".norm1")); ++i)
      out.resnets.push_back(resnet(join(name, ".resnets.", i)));
    if (has(name + ".upsamplers.0.conv")) out.upsample = conv(name + ".upsamplers.0.conv");
    return out;
  }
};

struct Map {
  at::Tensor x_BHWC;    // f32; bf16 inside a resnet
  at::Tensor sums_B2C;  // f64
};

Map convolved(const ops::ConvMapInput& in, const PackedConv& conv) {
  auto out = ops::conv_map(in, conv);
  return {.x_BHWC = std::move(out.y_BHWO), .sums_B2C = std::move(out.sums_B2O)};
}

// The group norm of a map as what conv_map does to each channel on the way in.
ops::ConvMapInput normed(const Map& map, const Norm& norm) {
  const int64_t B = map.x_BHWC.size(0), C = map.x_BHWC.size(3), channels = C / norm.groups;
  const auto count = static_cast<double>(map.x_BHWC.size(1) * map.x_BHWC.size(2) * channels);
  const auto sums_B2G = map.sums_B2C.view({B, 2, norm.groups, channels}).sum(3) / count;
  const auto mean_BG = sums_B2G.select(1, 0);
  const auto variance_BG = (sums_B2G.select(1, 1) - mean_BG.square()).clamp_min(0);
  const auto of_channel = [&](const at::Tensor& x_BG) { return x_BG.repeat_interleave(channels, 1); };
  const auto scale_BC = of_channel((variance_BG + kNormEps).rsqrt()) * norm.weight_C;
  const auto shift_BC = norm.bias_C - of_channel(mean_BG) * scale_BC;
  return {.x_BHWI = map.x_BHWC,
          .scale_BI = scale_BC.to(at::kFloat).contiguous(),
          .shift_BI = shift_BC.to(at::kFloat).contiguous()};
}

// Writes over the map where the width stays.
Map forward(const Resnet& resnet, const Map& map) {
  const Map hidden = convolved(normed(map, resnet.norm1), resnet.conv1);
  auto in = normed(hidden, resnet.norm2);
  in.residual_BHWO =
      resnet.shortcut ? convolved({.x_BHWI = map.x_BHWC, .f32_result = true}, *resnet.shortcut).x_BHWC : map.x_BHWC;
  in.over_residual = true;
  in.f32_result = true;
  return convolved(in, resnet.conv2);
}

Map forward(const Attention& attention, const Map& map) {
  auto in = normed(map, attention.norm);
  in.silu = false;
  const auto parts_B1SC = convolved(in, attention.qkv).x_BHWC.flatten(1, 2).unsqueeze(1).chunk(3, 3);
  const auto mixed_B1SC = at::scaled_dot_product_attention(parts_B1SC[0], parts_B1SC[1], parts_B1SC[2]);
  return convolved({.x_BHWI = mixed_B1SC.contiguous().view(map.x_BHWC.sizes()),
                    .residual_BHWO = map.x_BHWC,
                    .over_residual = true,
                    .f32_result = true},
                   attention.out);
}

Map forward(const Level& level, Map map) {
  for (const auto& resnet : level.resnets) map = forward(resnet, map);
  return level.upsample ? convolved({.x_BHWI = map.x_BHWC, .doubled = true, .f32_result = true}, *level.upsample) : map;
}

}  // namespace

struct Bf16Decoder::Weights {
  int64_t latent_channels = 0;
  at::Tensor post_quant_OI = {}, post_quant_O = {};  // f32; undefined: none
  PackedConv conv_in = {};
  Resnet first = {}, second = {};
  std::optional<Attention> attention = {};
  std::vector<Level> levels = {};
  Norm norm_out = {};
  PackedConv conv_out = {};
};

Bf16Decoder::~Bf16Decoder() = default;

Bf16Decoder::Bf16Decoder(const AutoencoderKL& model) {
  const at::NoGradGuard no_grad;
  Parameters parameters;
  for (const auto& item : model.named_parameters()) parameters.emplace(item.key(), item.value().detach());
  const Reader reader{.parameters = parameters, .groups = model.config().norm_num_groups};
  Weights w{.latent_channels = model.config().latent_channels};
  if (reader.has("post_quant_conv")) {
    w.post_quant_OI = reader.weight("post_quant_conv").flatten(1).to(at::kFloat);
    w.post_quant_O = reader.bias("post_quant_conv").to(at::kFloat);
  }
  w.conv_in = reader.conv("decoder.conv_in");
  w.first = reader.resnet("decoder.mid_block.resnets.0");
  w.second = reader.resnet("decoder.mid_block.resnets.1");
  if (reader.has("decoder.mid_block.attentions.0.group_norm"))
    w.attention = reader.attention("decoder.mid_block.attentions.0");
  for (size_t i = 0; i < model.config().block_out_channels.size(); ++i)
    w.levels.push_back(reader.level(join("decoder.up_blocks.", i)));
  w.norm_out = reader.norm("decoder.conv_norm_out");
  w.conv_out = reader.conv("decoder.conv_out");
  weights_ = std::make_unique<const Weights>(std::move(w));
}

at::Tensor Bf16Decoder::decode(const at::Tensor& z) const {
  const Weights& w = *weights_;
  check<ShapeError>(z.defined() && z.dim() == 4 && z.size(1) == w.latent_channels && z.numel() > 0 &&
                        z.is_floating_point() && z.is_cpu(),
                    "[bf16_decoder] expected floating (B, ", w.latent_channels, ", H, W) on the CPU, got ",
                    z.defined() ? join(z.scalar_type(), " ", z.sizes()) : "an undefined tensor");
  const at::NoGradGuard no_grad;
  auto z_BHWC = z.to(at::kFloat).permute({0, 2, 3, 1}).contiguous();
  if (w.post_quant_OI.defined()) z_BHWC = at::linear(z_BHWC, w.post_quant_OI, w.post_quant_O);
  Map map = forward(w.first, convolved({.x_BHWI = z_BHWC, .f32_result = true}, w.conv_in));
  if (w.attention) map = forward(*w.attention, map);
  map = forward(w.second, map);
  for (const auto& level : w.levels) map = forward(level, std::move(map));
  auto in = normed(map, w.norm_out);
  in.f32_result = true;
  return ops::conv_map(in, w.conv_out).y_BHWO.permute({0, 3, 1, 2}).contiguous();
}

}  // namespace polyphony::latent
