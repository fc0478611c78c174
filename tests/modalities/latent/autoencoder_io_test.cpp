// SPDX-License-Identifier: Apache-2.0
// Golden cases: made by scripts/golden/autoencoder_kl.py with diffusers.
#include "modalities/latent/autoencoder_io.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "modalities/latent/ldm_names.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::latent {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/autoencoder_kl";
constexpr double kTolerance = 1e-5;

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

class AutoencoderGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(AutoencoderGolden, AgreesWithDiffusers) {
  const at::NoGradGuard no_grad;
  const auto [model, warnings] = load_autoencoder(kGolden / GetParam());
  EXPECT_TRUE(warnings.empty());
  const TensorMap io = load_tensors(kGolden / GetParam() / "io.safetensors");
  const Moments moments = model->encode(io.at("image"));
  EXPECT_LT(largest_difference(moments.mean, io.at("mean")), kTolerance);
  EXPECT_LT(largest_difference(moments.logvar, io.at("logvar")), kTolerance);
  EXPECT_LT(largest_difference(model->decode(io.at("mean")), io.at("decoded")), kTolerance);
  EXPECT_TRUE(at::allclose(kl_loss(moments), io.at("kl").mean()));
}

TEST_P(AutoencoderGolden, ComesBackFromDisk) {
  const at::NoGradGuard no_grad;
  const auto [model, warnings] = load_autoencoder(kGolden / GetParam());
  const testing::TemporaryFolder folder;
  save_autoencoder(*model, folder.path());
  const auto [again, no_warnings] = load_autoencoder(folder.path());
  EXPECT_EQ(again->config(), model->config());
  const TensorMap io = load_tensors(kGolden / GetParam() / "io.safetensors");
  EXPECT_TRUE(at::equal(again->encode(io.at("image")).mean, model->encode(io.at("image")).mean));
}

INSTANTIATE_TEST_SUITE_P(Cases, AutoencoderGolden, ::testing::Values("two_levels", "four_levels", "no_quant_conv"),
                         [](const auto& case_info) { return case_info.param; });

TEST(AutoencoderIo, ReadsWeightsUnderTheOldAttentionNames) {
  const at::NoGradGuard no_grad;
  const auto model = load_autoencoder(kGolden / "two_levels").model;
  TensorMap old_names;
  for (const auto& [current_name, tensor] : state_of(*model)) {
    std::string name = current_name;
    for (const auto& [current, old] :
         {std::pair{".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}})
      if (const size_t at = name.find(current); at != std::string::npos)
        name.replace(at, std::string_view(current).size(), old);
    old_names.emplace(name, tensor);
  }
  const testing::TemporaryFolder folder;
  save_autoencoder(*model, folder.path());
  save_tensors(folder.path() / "diffusion_pytorch_model.safetensors", old_names);
  const at::Tensor image = at::randn({1, 3, 8, 8});
  EXPECT_TRUE(at::equal(load_autoencoder(folder.path()).model->encode(image).mean, model->encode(image).mean));
}

TEST(AutoencoderIo, RefusesWeightsThatDoNotFitTheConfig) {
  const auto model = load_autoencoder(kGolden / "two_levels").model;
  const testing::TemporaryFolder folder;
  EXPECT_THROW(load_autoencoder(folder.path()), DataError);
  save_autoencoder(*model, folder.path());
  TensorMap state = state_of(*model);
  state.erase("quant_conv.bias");
  save_tensors(folder.path() / "diffusion_pytorch_model.safetensors", state);
  EXPECT_THROW(load_autoencoder(folder.path()), DataError);
}

TEST(WithCurrentNames, MapsOldAttentionNamesAndConvolutions) {
  const auto out = with_current_names({{"encoder.mid_block.attentions.0.query.weight", at::ones({4, 4, 1, 1})},
                                       {"encoder.mid_block.attentions.0.key.bias", at::ones({4})},
                                       {"encoder.mid_block.attentions.0.value.bias", at::ones({4})},
                                       {"encoder.mid_block.attentions.0.proj_attn.weight", at::ones({4, 4})},
                                       {"quant_conv.weight", at::ones({4, 4, 1, 1})}},
                                      2);
  EXPECT_EQ(out.at("encoder.mid_block.attentions.0.to_q.weight").dim(), 2);
  EXPECT_TRUE(out.contains("encoder.mid_block.attentions.0.to_k.bias"));
  EXPECT_TRUE(out.contains("encoder.mid_block.attentions.0.to_v.bias"));
  EXPECT_TRUE(out.contains("encoder.mid_block.attentions.0.to_out.0.weight"));
  EXPECT_EQ(out.at("quant_conv.weight").dim(), 4);
}

TEST(LdmNames, AreThoseOfTheOriginalCheckpoints) {
  const std::pair<const char*, const char*> names[] = {
      {"first_stage_model.encoder.conv_in.weight", "encoder.conv_in.weight"},
      {"encoder.down.1.block.0.nin_shortcut.bias", "encoder.down_blocks.1.resnets.0.conv_shortcut.bias"},
      {"encoder.down.0.downsample.conv.weight", "encoder.down_blocks.0.downsamplers.0.conv.weight"},
      {"encoder.mid.block_1.norm1.weight", "encoder.mid_block.resnets.0.norm1.weight"},
      {"encoder.mid.attn_1.norm.weight", "encoder.mid_block.attentions.0.group_norm.weight"},
      {"encoder.mid.attn_1.proj_out.weight", "encoder.mid_block.attentions.0.to_out.0.weight"},
      {"decoder.mid.block_2.conv2.bias", "decoder.mid_block.resnets.1.conv2.bias"},
      {"decoder.up.3.block.2.conv1.weight", "decoder.up_blocks.0.resnets.2.conv1.weight"},
      {"decoder.up.1.upsample.conv.bias", "decoder.up_blocks.2.upsamplers.0.conv.bias"},
      {"decoder.norm_out.weight", "decoder.conv_norm_out.weight"},
      {"quant_conv.weight", "quant_conv.weight"}};
  for (const auto& [original, current] : names) EXPECT_EQ(diffusers_name_of_ldm(original, 4), current);
}

TEST(WithCurrentNames, RefusesATensorUnderBothNames) {
  EXPECT_THROW(with_current_names(
                   {{"x.attentions.0.query.bias", at::ones({4})}, {"x.attentions.0.to_q.bias", at::ones({4})}}, 2),
               DataError);
}

}  // namespace
}  // namespace polyphony::latent
