// SPDX-License-Identifier: Apache-2.0
// A diffusers folder: what is written is read back, and one that contradicts itself is refused.
#include "pipelines/dit_moe/pipeline.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"
#include "pipelines/dit_moe/sampler.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
using nlohmann::json;

latent::AutoencoderConfig tiny_vae() { return {.block_out_channels = {4, 4}, .norm_num_groups = 2, .sample_size = 16}; }

DitMoePipeline golden_pipeline() {
  at::manual_seed(2);
  DitMoePipeline pipeline{.model = golden_model(), .mode = DitMoeMode::ddpm};
  pipeline.autoencoder = std::make_shared<latent::AutoencoderKL>(tiny_vae());
  pipeline.labels = {{3, "tench, Tinca tinca"}, {7, "golden retriever"}};
  return pipeline;
}

class DitMoePipelineFolder : public ::testing::Test {
 protected:
  void SetUp() override { save_dit_moe_pipeline(golden_pipeline(), folder_.path()); }
  void change(const std::string& file, const std::function<void(json&)>& edit) {
    auto value = json::parse(read_file(folder_ / file, 1 << 20));
    edit(value);
    write_file_atomic(folder_ / file, value.dump());
  }
  DitMoePipeline load() { return load_dit_moe_pipeline(folder_.path()); }
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(DitMoePipelineFolder, IsReadBackWhole) {
  const auto loaded = load();
  EXPECT_EQ(loaded.mode, DitMoeMode::ddpm);
  EXPECT_EQ(loaded.labels, golden_pipeline().labels);
  EXPECT_EQ(loaded.model->config(), golden_model()->config());
  ASSERT_TRUE(loaded.autoencoder);
  EXPECT_EQ(loaded.picture_size(), 16);
  EXPECT_TRUE(loaded.draws_pictures());
  const auto x = at::ones({1, 4, 8, 8});
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(loaded.autoencoder->decode(x), golden_pipeline().autoencoder->decode(x)));
}

TEST_F(DitMoePipelineFolder, TellsTheModeByTheScheduler) {
  const std::pair<const char*, DitMoeMode> rows[] = {{"DDIMScheduler", DitMoeMode::ddpm},
                                                     {"DDPMScheduler", DitMoeMode::ddpm},
                                                     {"DPMSolverMultistepScheduler", DitMoeMode::ddpm},
                                                     {"DiTMoEFlowMatchScheduler", DitMoeMode::rectified_flow},
                                                     {"FlowMatchEulerDiscreteScheduler", DitMoeMode::rectified_flow}};
  for (const auto& [name, mode] : rows) {
    change("model_index.json", [&](json& index) { index["scheduler"][1] = name; });
    change("scheduler/scheduler_config.json", [&](json& config) { config["_class_name"] = name; });
    EXPECT_EQ(load().mode, mode) << name;
  }
}

TEST_F(DitMoePipelineFolder, TakesWhatThereIsWhereTheIndexIsSilent) {
  change("model_index.json", [](json& index) { index = json::object(); });
  EXPECT_TRUE(load().autoencoder);
  EXPECT_EQ(load().mode, DitMoeMode::ddpm);
  change("model_index.json", [](json& index) { index = {{"vae", nullptr}, {"scheduler", {nullptr, nullptr}}}; });
  EXPECT_FALSE(load().autoencoder);
  EXPECT_EQ(load().picture_size(), 0);
  EXPECT_FALSE(load().mode.has_value());
}

TEST(DitMoePipelineFlat, NamesNoModeAndHasNoAutoencoder) {
  const auto pipeline = load_dit_moe_pipeline(kDitMoeGolden);
  EXPECT_FALSE(pipeline.mode.has_value());
  EXPECT_FALSE(pipeline.draws_pictures());
}

struct Contradiction {
  const char* file;
  std::function<void(json&)> edit;
  const char* says;
};

TEST_F(DitMoePipelineFolder, RefusesOneThatContradictsItself) {
  const std::string scheduler = "scheduler/scheduler_config.json", index = "model_index.json";
  const std::vector<Contradiction> rows = {
      {"model_index.json", [](json& j) { j["transformer"][1] = "DiTTransformer2DModel"; }, "DiTMoETransformer2DModel"},
      {"model_index.json", [](json& j) { j["scheduler"][1] = "DDPMScheduler"; }, "DDIMScheduler"},
      {"model_index.json", [](json& j) { j["vae"][1] = "AutoencoderTiny"; }, "AutoencoderKL"},
      {"model_index.json", [](json& j) { j["vae"] = "vae"; }, "[library, class]"},
      {"model_index.json", [](json& j) { j["sample_space"] = "pixels"; }, "there is a vae"},
      {"model_index.json", [](json& j) { j["id2label"]["10"] = "x"; }, "classes 0..9"},
      {"model_index.json", [](json& j) { j["id2label"]["tench"] = "x"; }, "'tench'"},
      {"model_index.json", [](json& j) { j["id2label"]["1"] = 2; }, "must be text"},
      {"model_index.json", [](json& j) { j = json::array(); }, "JSON object"},
      {"model_index.json", [](json& j) { j["transformer"] = nullptr; }, "names no transformer"},
      {"scheduler/scheduler_config.json", [](json& j) { j["_class_name"] = 3; }, "_class_name"},
      {"scheduler/scheduler_config.json", [](json& j) { j["beta_end"] = "0.02"; }, "beta_end"},
      {"scheduler/scheduler_config.json", [](json& j) { j["clip_sample"] = true; }, "clip_sample"},
      {"scheduler/scheduler_config.json", [](json& j) { j["rescale_betas_zero_snr"] = true; }, "zero_snr"},
      {"scheduler/scheduler_config.json", [](json& j) { j["_class_name"] = "EulerDiscreteScheduler"; },
       "expected a scheduler"},
      {"scheduler/scheduler_config.json", [](json& j) { j["beta_schedule"] = "scaled_linear"; },
       "beta_schedule linear"},
      {"scheduler/scheduler_config.json", [](json& j) { j["beta_end"] = 0.012; }, "beta_end 0.02"},
      {"scheduler/scheduler_config.json", [](json& j) { j["prediction_type"] = "v_prediction"; }, "epsilon"},
      {"scheduler/scheduler_config.json", [](json& j) { j["trained_betas"] = {0.1}; }, "trained_betas"},
      {"scheduler/scheduler_config.json", [](json& j) { j["num_train_timesteps"] = 500; }, "1000"},
      {"vae/config.json", [](json& j) { j["latent_channels"] = 8; }, "vae"},
      {"transformer/config.json", [](json& j) { j["depth"] = 4; }, "parameters"},
  };
  for (const auto& row : rows) {
    const auto before = read_file(folder_ / row.file, 1 << 20);
    change(row.file, row.edit);
    EXPECT_REFUSED(DataError, load(), row.says);
    write_file_atomic(folder_ / row.file, before);
  }
  std::filesystem::remove_all(folder_ / "vae");
  std::filesystem::create_symlink("vae", folder_ / "vae");
  EXPECT_REFUSED(DataError, load(), "vae");
  std::filesystem::remove(folder_ / "vae");
  EXPECT_REFUSED(DataError, load(), "names a 'vae'", "no folder");
}

TEST(DitMoeClass, IsFoundByNumberAndByName) {
  const auto pipeline = golden_pipeline();
  EXPECT_EQ(find_class(pipeline, "0"), 0);
  EXPECT_EQ(find_class(pipeline, "9"), 9);
  EXPECT_EQ(find_class(pipeline, "Tinca Tinca"), 3);
  EXPECT_EQ(find_class(pipeline, " golden retriever "), 7);
  EXPECT_REFUSED(UsageError, find_class(pipeline, "10"), "0 to 9", "10");
  EXPECT_REFUSED(UsageError, find_class(pipeline, "-1"), "0 to 9");
  EXPECT_REFUSED(UsageError, find_class(pipeline, "golden retreiver"), "did you mean 'golden retriever'");
  EXPECT_REFUSED(UsageError, find_class({.model = golden_model()}, "dog"), "no names");
}

TEST(DitMoeSamplerChoice, FollowsTheModeOfTheModel) {
  EXPECT_EQ(choose_sampler({}, ""), DitMoeSampler::euler);
  EXPECT_EQ(choose_sampler(DitMoeMode::rectified_flow, ""), DitMoeSampler::euler);
  EXPECT_EQ(choose_sampler(DitMoeMode::ddpm, ""), DitMoeSampler::ddpm);
  EXPECT_EQ(choose_sampler(DitMoeMode::ddpm, "dpm++"), DitMoeSampler::dpm_solver);
  EXPECT_EQ(choose_sampler({}, "ddim"), DitMoeSampler::ddim);
  EXPECT_REFUSED(UsageError, choose_sampler(DitMoeMode::ddpm, "euler"), "with DDPM", "ddpm, ddim, dpm++");
  EXPECT_REFUSED(UsageError, choose_sampler(DitMoeMode::rectified_flow, "ddim"), "rectified flow", "euler");
  for (const auto sampler : {DitMoeSampler::euler, DitMoeSampler::ddpm, DitMoeSampler::ddim, DitMoeSampler::dpm_solver})
    EXPECT_EQ(dit_moe_sampler(sampler_name(sampler)), sampler);
}

TEST(DitMoePixels, AreRepeatedForGreyModelsAndDecodedForLatents) {
  auto pipeline = golden_pipeline();
  EXPECT_EQ(pixels_of(pipeline, at::zeros({2, 4, 8, 8})).sizes(), at::IntArrayRef({2, 3, 16, 16}));
  pipeline.autoencoder = nullptr;
  EXPECT_REFUSED(ConfigError, pixels_of(pipeline, at::zeros({1, 4, 8, 8})), "autoencoder");
  pipeline.pixels = true;
  const auto grey = at::rand({1, 1, 8, 8});
  EXPECT_TRUE(at::equal(pixels_of(pipeline, grey).select(1, 2), grey.select(1, 0)));
}

}  // namespace
}  // namespace polyphony::pipelines
