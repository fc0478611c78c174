// SPDX-License-Identifier: Apache-2.0
// A tiny joint model with random weights: round trip on disk, the session over it, and what must not change its
// results.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/rng.h"
#include "core/tensor_io.h"
#include "pipelines/data/scenes/dataset.h"
#include "pipelines/forward/forward.h"
#include "pipelines/joint/draw.h"
#include "pipelines/joint/folder.h"
#include "pipelines/session.h"
#include "tests/support/tiny_joint.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

using testing::tiny_bundle;

class JointSessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("polyphony_joint_" + std::to_string(::getpid()));
    save_joint(tiny_bundle(), folder_, at::kFloat);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::unique_ptr<Session> open(int64_t threads = 1) {
    return open_session({.model_folder = folder_.string(), .threads = threads});
  }
  static inline fs::path folder_;
};

TEST_F(JointSessionTest, FolderReadsBackToTheSameModel) {
  const auto a = tiny_bundle();
  const auto b = load_joint(folder_);
  EXPECT_EQ(joint_config_json(a.config), joint_config_json(b.config));
  const JointInput input{.texts = {.draw = {{5, 6, 7}}, .caption = {{8}}},
                         .noisy_BCHW = at::ones({1, 4, 12, 12}),
                         .t_B = at::full({1}, 0.7f),
                         .pixels_NCHW = at::zeros({1, 3, 96, 96})};
  const c10::InferenceMode inference;
  const auto x = a.model->forward(input), y = b.model->forward(input);
  EXPECT_TRUE(at::equal(x.clean_BCHW, y.clean_BCHW));
  EXPECT_TRUE(at::equal(x.logits_PV, y.logits_PV));
  EXPECT_GT(x.clean_BCHW.abs().max().item<double>(), 0);
}

TEST_F(JointSessionTest, SameSeedGivesTheSameBytesForOneAndTwoThreadsAndAloneOrAmongOthers) {
  const GenerateRequest request{.prompt = "a small red circle at the top on a white background",
                                .steps = 3,
                                .guidance = 2.0,
                                .seed = 5,
                                .count = 2};
  const auto one = open(1)->generate(request, {});
  const auto two = open(2)->generate(request, {});
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->pictures[0].image, two->pictures[0].image);
  EXPECT_EQ(one->pictures[1].image, two->pictures[1].image);
  EXPECT_NE(one->pictures[0].image, one->pictures[1].image);
  auto alone = request;
  alone.count = 1, alone.seed = 6;
  EXPECT_EQ(open(2)->generate(alone, {})->pictures[0].image, one->pictures[1].image);
  at::set_num_threads(1);
}

TEST_F(JointSessionTest, ProgressThatSaysNoStopsAndLeavesTheSessionReady) {
  auto session = open();
  const GenerateRequest request{.prompt = "a", .steps = 4, .seed = 1};
  int64_t calls = 0;
  EXPECT_FALSE(session
                   ->generate(request,
                              [&](const Progress& p) {
                                EXPECT_TRUE(p.preview.has_value());
                                return ++calls < 2;
                              })
                   .has_value());
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(session->generate(request, {}).has_value());
}

TEST_F(JointSessionTest, UnknownWordsOfAPromptAreNamed) {
  const auto result = open()->generate({.prompt = "a large zeppelin", .steps = 1, .seed = 1}, {});
  ASSERT_EQ(result->warnings.size(), 1u);
  EXPECT_NE(result->warnings[0].find("zeppelin"), std::string::npos);
}

TEST_F(JointSessionTest, PromptWithoutWordsDrawsAnythingAndSaysSo) {
  const GenerateRequest request{.prompt = " \n", .steps = 2, .guidance = 3.0, .seed = 1};
  const auto result = open()->generate(request, {});
  ASSERT_EQ(result->warnings.size(), 1u);
  EXPECT_NE(result->warnings[0].find("no words"), std::string::npos);
  // Both passes are then the same one: guidance changes nothing but the last bits.
  const auto bundle = tiny_bundle();
  const auto guided = draw_latents(*bundle.model, {{}}, {.steps = 2, .guidance = 3.0, .seeds = {1}});
  const auto plain = draw_latents(*bundle.model, {{}}, {.steps = 2, .guidance = 1.0, .seeds = {1}});
  EXPECT_TRUE(at::allclose(*guided, *plain, 1e-4, 1e-4));
}

TEST_F(JointSessionTest, WordsThatTheModelLearntAreKnown) {
  auto bundle = tiny_bundle();
  bundle.words = {"zeppelin"};
  const auto folder = folder_.string() + "_words";
  save_joint(bundle, folder, at::kFloat);
  const auto session = open_session({.model_folder = folder, .threads = 1});
  EXPECT_TRUE(session->generate({.prompt = "a large zeppelin", .steps = 1, .seed = 1}, {})->warnings.empty());
  EXPECT_EQ(session->generate({.prompt = "a large airship", .steps = 1, .seed = 1}, {})->warnings.size(), 1u);
  fs::remove_all(folder);
}

TEST_F(JointSessionTest, TooLongPromptIsRefusedWithTheLimit) {
  std::string prompt;
  for (int i = 0; i < 10000; ++i) prompt += "red ";
  try {
    open()->generate({.prompt = prompt, .steps = 1, .seed = 1}, {});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("at most 128"), std::string::npos) << error.what();
  }
}

TEST_F(JointSessionTest, CaptionGivesWordsAndAConfidence) {
  const RgbImage picture{.width = 50, .height = 20, .pixels = std::vector<uint8_t>(3000, 90)};
  const auto result = open()->caption({.image = picture, .max_tokens = 6}, {});
  ASSERT_TRUE(result.has_value());
  EXPECT_LE(result->tokens, 6);
  EXPECT_GT(result->confidence, 0);
  EXPECT_LE(result->confidence, 1);
}

TEST_F(JointSessionTest, WrongFoldersAreRefusedByName) {
  EXPECT_THROW(open_session({.model_folder = "/nowhere"}), DataError);
  const auto broken = folder_.string() + "_broken";
  fs::copy(folder_, broken, fs::copy_options::recursive);
  std::ofstream(broken + "/config.json") << R"({"model_type": "something else"})";
  try {
    open_session({.model_folder = broken});
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("something else"), std::string::npos) << error.what();
  }
  fs::remove_all(broken);
}

TEST_F(JointSessionTest, ForwardGivesWhatTheModelItselfGives) {
  auto generator = make_generator(6);
  const auto latents = at::randn({2, 4, 12, 12}, generator), pixels = at::randn({1, 3, 96, 96}, generator);
  const auto t = at::tensor({0.25f, 0.9f});
  const auto words = at::tensor({5, 6, 7, 8}, at::kLong).reshape({2, 2});
  const auto in = folder_ / "in.safetensors", result = folder_ / "out.safetensors";
  save_tensors(in, {{"latents", latents}, {"t", t}, {"prompt_ids", words}, {"pixel_values", pixels}});
  run_forward({.model = folder_.string(), .input = in.string(), .output = result.string(), .device = "cpu"});
  const auto out = load_tensors(result);
  const c10::InferenceMode inference;
  const auto want =
      tiny_bundle().model->forward({.texts = {.draw = {{5, 6}, {7, 8}}, .caption = {{}}, .caption_complete = false},
                                    .noisy_BCHW = latents,
                                    .t_B = t,
                                    .pixels_NCHW = pixels});
  EXPECT_TRUE(at::allclose(out.at("clean"), want.clean_BCHW, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(out.at("logits"), want.logits_PV, 1e-5, 1e-6));
  save_tensors(in, {{"latents", latents}});
  EXPECT_THROW(run_forward({.model = folder_.string(), .input = in.string(), .output = result.string()}), DataError);
  fs::remove(in);
  fs::remove(result);
}

TEST(JointModel, CaptionOfAPictureDoesNotDependOnItsNeighboursInTheBatch) {
  const auto bundle = tiny_bundle();
  const c10::InferenceMode inference;
  auto generator = make_generator(4);
  const auto pixels = at::randn({2, 3, 96, 96}, generator);
  const auto both = bundle.model->forward({.texts = {.caption = {{5, 6}, {7, 8, 9}}}, .pixels_NCHW = pixels}).logits_PV;
  const auto first =
      bundle.model->forward({.texts = {.caption = {{5, 6}}}, .pixels_NCHW = pixels.narrow(0, 0, 1)}).logits_PV;
  EXPECT_TRUE(at::allclose(both.narrow(0, 0, 3), first, 1e-4, 1e-5));
}

TEST(JointModel, LaterWordsDoNotChangeEarlierPredictions) {
  const auto bundle = tiny_bundle();
  const c10::InferenceMode inference;
  const auto pixels = at::zeros({1, 3, 96, 96});
  const auto a = bundle.model->forward({.texts = {.caption = {{5, 6, 7}}}, .pixels_NCHW = pixels}).logits_PV;
  const auto b = bundle.model->forward({.texts = {.caption = {{5, 6, 9}}}, .pixels_NCHW = pixels}).logits_PV;
  EXPECT_TRUE(at::allclose(a.narrow(0, 0, 3), b.narrow(0, 0, 3), 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(a[3], b[3], 1e-5, 1e-6));
}

}  // namespace
}  // namespace polyphony::pipelines
