// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/autoencoder_config.h"

#include <gmock/gmock.h>

#include "core/error.h"

namespace polyphony::latent {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    parse_autoencoder_config(text, "vae/config.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(AutoencoderConfig, MissingKeysTakeTheDefaults) {
  const auto parsed = parse_autoencoder_config("{}", "config.json");
  EXPECT_EQ(parsed.config, AutoencoderConfig{});
  EXPECT_EQ(parsed.config.scaling_factor, 0.18215);
  EXPECT_TRUE(parsed.warnings.empty());
}

TEST(AutoencoderConfig, ComesBackFromItsOwnJson) {
  const AutoencoderConfig config{.latent_channels = 2,
                                 .block_out_channels = {8, 16, 32},
                                 .layers_per_block = 2,
                                 .norm_num_groups = 4,
                                 .sample_size = 64,
                                 .scaling_factor = 0.3611,
                                 .shift_factor = 0.1159,
                                 .latents_mean = {0.5, -1},
                                 .latents_std = {2, 3},
                                 .use_quant_conv = false,
                                 .use_post_quant_conv = false,
                                 .mid_block_add_attention = false};
  const auto parsed = parse_autoencoder_config(autoencoder_config_json(config), "config.json");
  EXPECT_EQ(parsed.config, config);
  EXPECT_TRUE(parsed.warnings.empty());
  EXPECT_EQ(config.downscale(), 4);
}

TEST(AutoencoderConfig, NullMeansNoneOnlyWhereAModelMayHaveNone) {
  const auto parsed =
      parse_autoencoder_config(R"({"shift_factor": null, "latents_mean": null, "latents_std": null})", "c");
  EXPECT_EQ(parsed.config.shift_factor, 0);
  EXPECT_THAT(refusal(R"({"latent_channels": null})"), HasSubstr("latent_channels must be a whole number, got null"));
}

TEST(AutoencoderConfig, UnknownKeysAreReportedAndPrivateOnesAreNot) {
  const auto parsed =
      parse_autoencoder_config(R"({"_class_name": "AutoencoderKL", "force_upcast": true, "new_thing": 1})", "c.json");
  ASSERT_EQ(parsed.warnings.size(), 1);
  EXPECT_THAT(parsed.warnings[0], HasSubstr("c.json: the key new_thing"));
}

TEST(AutoencoderConfig, RefusesWhatNoModelCanHave) {
  EXPECT_THAT(refusal("[1]"), HasSubstr("expected a JSON object, got array"));
  EXPECT_THAT(refusal("{\"in_channels\": 3"), HasSubstr("vae/config.json"));
  EXPECT_THAT(refusal(R"({"in_channels": "3"})"), HasSubstr("in_channels must be a whole number, got \"3\""));
  EXPECT_THAT(refusal(R"({"in_channels": 3.5})"), HasSubstr("in_channels"));
  EXPECT_THAT(refusal(R"({"in_channels": -1})"), HasSubstr("in_channels must be in [1, 16384], got -1"));
  EXPECT_THAT(refusal(R"({"layers_per_block": 18446744073709551615})"), HasSubstr("below 2^63"));
  EXPECT_THAT(refusal(R"({"block_out_channels": []})"), HasSubstr("1 to 8 entries"));
  EXPECT_THAT(refusal(R"({"block_out_channels": [33]})"), HasSubstr("multiples of norm_num_groups 32, got [33]"));
  EXPECT_THAT(refusal(R"({"norm_num_groups": 0})"), HasSubstr("norm_num_groups"));
  EXPECT_THAT(refusal(R"({"scaling_factor": 0})"), HasSubstr("scaling_factor"));
  EXPECT_THAT(refusal(R"({"latents_mean": [0,0,0,0]})"), HasSubstr("latents_mean and latents_std"));
  EXPECT_THAT(refusal(R"({"act_fn": "gelu"})"), HasSubstr("act_fn must be silu"));
  EXPECT_THAT(refusal(R"({"down_block_types": ["AttnDownEncoderBlock2D"]})"), HasSubstr("down_block_types"));
  EXPECT_THAT(refusal(R"({"up_block_types": []})"), HasSubstr("up_block_types"));
}

TEST(AutoencoderConfig, AWrongValueInCodeIsAConfigError) {
  EXPECT_THROW(check_autoencoder_config({.block_out_channels = {30}}), ConfigError);
  EXPECT_THROW(autoencoder_config_json({.latent_channels = 0}), ConfigError);
}

}  // namespace
}  // namespace polyphony::latent
