// SPDX-License-Identifier: Apache-2.0
// A DiT-MoE behind the Session: requests of classes, pictures that depend on their seed alone, routings, refusals.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/session.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

const std::string kGolden = POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe";

GenerateRequest request(const std::string& label = "3") {
  return {.class_label = label, .steps = 4, .guidance = 3.0, .seed = 9};
}

class DitMoeSessionTest : public ::testing::Test {
 protected:
  // The golden transformer with a small autoencoder and names.
  void SetUp() override {
    at::manual_seed(2);
    DitMoePipeline pipeline{.model = load_dit_moe(kGolden).model, .mode = DitMoeMode::rectified_flow};
    pipeline.autoencoder = std::make_shared<latent::AutoencoderKL>(
        latent::AutoencoderConfig{.block_out_channels = {4, 4}, .norm_num_groups = 2, .sample_size = 16});
    pipeline.labels = {{3, "tench"}, {7, "golden retriever"}};
    save_dit_moe_pipeline(pipeline, folder_.path());
  }
  std::unique_ptr<Session> open(int64_t threads = 1, const std::string& dtype = "auto") const {
    return open_session({.model_folder = folder_.path().string(), .dtype = dtype, .threads = threads});
  }
  polyphony::testing::TemporaryFolder folder_;
};

class DitMoeSessionDtypes : public DitMoeSessionTest, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Dtypes, DitMoeSessionDtypes, ::testing::Values("float32", "bfloat16"),
                         [](const auto& case_info) { return case_info.param; });

TEST_P(DitMoeSessionDtypes, APictureDependsOnItsSeedAlone) {
  auto several = request();
  several.count = 3;
  const auto one_thread = open(1, GetParam())->generate(several, {});
  const auto two_threads = open(2, GetParam())->generate(several, {});
  auto last = request();
  last.seed = 11;
  const auto alone = open(2, GetParam())->generate(last, {});
  ASSERT_EQ(one_thread->pictures.size(), 3u);
  EXPECT_EQ(one_thread->latents.values, two_threads->latents.values);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(one_thread->pictures[i].image, two_threads->pictures[i].image);
  EXPECT_EQ(alone->pictures[0].image, one_thread->pictures[2].image);
  EXPECT_NE(one_thread->pictures[0].image, one_thread->pictures[1].image);
  EXPECT_EQ(one_thread->latents.shape, (std::vector<int64_t>{3, 4, 8, 8}));
}

TEST_F(DitMoeSessionTest, FillsInWhatTheRequestLeavesOpen) {
  const auto result = open()->generate({.class_label = "Golden Retriever", .steps = 2}, {});
  EXPECT_EQ(result->used.class_label, "7");
  EXPECT_EQ(result->used.sampler, "euler");
  EXPECT_EQ(result->used.guidance, 4.0);
  EXPECT_TRUE(result->used.seed.has_value());
  EXPECT_NE(result->pictures[0].parameters_json.find("golden retriever"), std::string::npos);
  // The picture says how to draw it again.
  const auto again = std::get<GenerateRequest>(request_from_json(result->pictures[0].parameters_json));
  EXPECT_EQ(open()->generate(again, {})->pictures[0].image, result->pictures[0].image);
}

TEST_F(DitMoeSessionTest, SaysWhatItIs) {
  const auto model = open()->describe();
  EXPECT_EQ(model.num_classes, 10);
  EXPECT_EQ(model.classes.at(3), "tench");
  EXPECT_EQ(model.picture_width, 16);
  EXPECT_EQ(model.default_steps, 50);
  EXPECT_TRUE(model.can_generate && !model.can_caption);
  EXPECT_LT(model.parameters_active, model.parameters_total);
}

TEST_F(DitMoeSessionTest, RecordsRoutingAndPreviewsOnlyWhereAsked) {
  auto asked = request();
  asked.count = 2;
  asked.record_routing = true;
  asked.every_preview = true;
  int64_t previews = 0, calls = 0;
  const auto result = open()->generate(asked, [&](const Progress& progress) {
    previews += progress.preview.has_value();
    EXPECT_EQ(progress.total, 8);
    return progress.done == ++calls;
  });
  EXPECT_EQ(previews, 8);
  EXPECT_EQ(result->routing.shape, (std::vector<int64_t>{4, 3, 2, 16, 2}));
  EXPECT_TRUE(open()->generate(request(), {})->routing.shape.empty());
}

TEST_F(DitMoeSessionTest, LastPreviewIsThePicture) {
  auto asked = request();
  asked.every_preview = true;
  RgbImage last;
  const auto result = open()->generate(asked, [&](const Progress& progress) {
    last = *progress.preview;
    return true;
  });
  EXPECT_EQ(last, result->pictures[0].image);
}

TEST_F(DitMoeSessionTest, StopsWhenAskedTo) {
  EXPECT_FALSE(open()->generate(request(), [](const Progress& p) { return p.done < 2; }).has_value());
}

TEST_F(DitMoeSessionTest, RunsInBfloat16NearFloat32) {
  const auto exact = open()->generate(request(), {});
  const auto rough = open(1, "bfloat16")->generate(request(), {});
  EXPECT_EQ(rough->dtype, "bfloat16");
  double error = 0, size = 0;
  for (size_t i = 0; i < exact->latents.values.size(); ++i) {
    error += std::pow(exact->latents.values[i] - rough->latents.values[i], 2);
    size += std::pow(exact->latents.values[i], 2);
  }
  EXPECT_LT(std::sqrt(error / size), 0.1);  // of a guided sampler's end; the bound of one pass is in the model's test
}

TEST_F(DitMoeSessionTest, RefusesWhatTheModelCannotDo) {
  const auto session = open();
  const auto with = [](auto edit) {
    auto r = request();
    edit(r);
    return r;
  };
  EXPECT_REFUSED(UsageError, session->generate(request("10"), {}), "0 to 9");
  EXPECT_REFUSED(UsageError, session->generate({.prompt = "a dog"}, {}), "draws classes");
  EXPECT_REFUSED(UsageError, session->generate(with([](auto& r) { r.sampler = "ddim"; }), {}), "rectified flow");
  EXPECT_REFUSED(ConfigError, session->generate(with([](auto& r) { r.sampler = "heun"; }), {}), "euler, ddpm");
  EXPECT_REFUSED(UsageError, session->generate(with([](auto& r) { r.steps = 0; }), {}), "steps");
  EXPECT_REFUSED(UsageError, session->generate(with([](auto& r) { r.guidance = NAN; }), {}), "guidance");
  EXPECT_REFUSED(UsageError, session->caption({.file = "x.png"}, {}), "cannot caption");
}

TEST(DitMoeFlatSession, GivesLatentsAndTakesAnySampler) {
  const auto session = open_session({.model_folder = kGolden});
  EXPECT_EQ(session->describe().picture_width, 0);
  for (const char* sampler : {"", "euler", "ddpm", "ddim", "dpm++"}) {
    auto r = request();
    r.sampler = sampler;
    const auto result = session->generate(r, {});
    EXPECT_TRUE(result->pictures.empty());
    EXPECT_EQ(result->latents.shape, (std::vector<int64_t>{1, 4, 8, 8}));
  }
  auto previews = request();
  previews.every_preview = true;
  EXPECT_REFUSED(UsageError, session->generate(previews, {}), "no decoder");
}

TEST(OpenSession, RefusesAFolderOfNoModelThatItKnows) {
  EXPECT_REFUSED(DataError, open_session({.model_folder = POLYPHONY_SOURCE_DIR "/configs/default_model/vae"}),
                 "AutoencoderKL", "dit_moe");
  EXPECT_REFUSED(DataError, open_session({.model_folder = POLYPHONY_SOURCE_DIR "/docs"}), "config.json");
}

}  // namespace
}  // namespace polyphony::pipelines
