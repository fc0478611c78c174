// SPDX-License-Identifier: Apache-2.0
#include "pipelines/forward/forward.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "core/tensor_io.h"
#include "modalities/latent/autoencoder_io.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

class Forward : public ::testing::Test {
 protected:
  void SetUp() override {
    latent::AutoencoderConfig config;
    config.block_out_channels = {8, 8};
    config.norm_num_groups = 4;
    model_ = std::make_shared<latent::AutoencoderKL>(config);
    model_->eval();
    latent::save_autoencoder(*model_, folder_.path());
  }
  ForwardReport run(const TensorMap& inputs) {
    save_tensors(folder_ / "in.safetensors", inputs);
    return run_forward({.model = folder_.path().string(),
                        .input = (folder_ / "in.safetensors").string(),
                        .output = (folder_ / "out.safetensors").string(),
                        .device = "cpu"});
  }
  polyphony::testing::TemporaryFolder folder_;
  std::shared_ptr<latent::AutoencoderKL> model_;
};

TEST_F(Forward, GivesWhatTheAutoencoderItselfGives) {
  const auto image = at::rand({1, 3, 8, 8}) * 2 - 1;
  const auto report = run({{"image", image}});
  EXPECT_EQ(report.architecture, "AutoencoderKL");
  const auto out = load_tensors(folder_ / "out.safetensors");
  const at::NoGradGuard no_gradients;
  const auto moments = model_->encode(image);
  EXPECT_TRUE(at::allclose(out.at("mean"), moments.mean, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(out.at("logvar"), moments.logvar, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(out.at("decoded"), model_->decode(moments.mean), 1e-5, 1e-5));
}

TEST_F(Forward, NamesInputsThatAreMissingUnknownOrIllShaped) {
  EXPECT_REFUSED(DataError, run({{"imgae", at::rand({1, 3, 8, 8})}}), "'image' is missing");
  EXPECT_REFUSED(DataError, run({{"image", at::rand({1, 3, 8, 8})}, {"noise", at::rand({1})}}),
                 "unknown input 'noise'");
  EXPECT_REFUSED(ShapeError, run({{"image", at::rand({3, 8, 8})}}), "[image]", "(B, 3, H, W)");
  EXPECT_REFUSED(ShapeError, run({{"image", at::rand({1, 3, 7, 8})}}), "multiples of 2");
  EXPECT_REFUSED(ShapeError, run({{"image", at::ones({1, 3, 8, 8}, at::kLong)}}), "floating");
}

class ForwardDitMoe : public ::testing::Test {
 protected:
  ForwardReport run(const TensorMap& inputs, const std::string& dtype = "float32") {
    save_tensors(folder_ / "in.safetensors", inputs);
    return run_forward({.model = kFolder,
                        .input = (folder_ / "in.safetensors").string(),
                        .output = (folder_ / "out.safetensors").string(),
                        .dtype = dtype,
                        .device = "cpu"});
  }
  at::Tensor out() { return load_tensors(folder_ / "out.safetensors").at("out"); }
  const std::string kFolder = POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe";
  const TensorMap io_ = load_tensors(kFolder + "/io.safetensors");
  const TensorMap inputs_ = {{"x", io_.at("forward.x")}, {"t", io_.at("forward.t")}, {"y", io_.at("forward.y")}};
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(ForwardDitMoe, GivesWhatThePublishedCodeGivesForRawTimes) {
  EXPECT_EQ(run(inputs_).architecture, "dit_moe");
  EXPECT_TRUE(at::allclose(out(), io_.at("forward.out"), 0, 1e-5));
  auto ddpm = inputs_;
  ddpm["t"] = io_.at("forward_ddpm.t");
  run(ddpm);
  EXPECT_TRUE(at::allclose(out(), io_.at("forward_ddpm.out"), 0, 1e-5));
}

TEST_F(ForwardDitMoe, KeepsTimesExactInBfloat16) {
  auto ddpm = inputs_;
  ddpm["t"] = at::full({3}, 997.F);  // bfloat16 has 996 and 1000
  run(ddpm);
  const auto expected = out();
  run(ddpm, "bfloat16");
  EXPECT_LT((out() - expected).square().mean().sqrt().item<float>(),
            2e-2F * expected.square().mean().sqrt().item<float>());
}

TEST_F(ForwardDitMoe, TakesAWholePipelineForItsTransformer) {
  std::filesystem::create_directories(folder_ / "m");
  std::filesystem::copy(kFolder, folder_ / "m" / "transformer");
  std::ofstream(folder_ / "m" / "model_index.json") << "{}";
  save_tensors(folder_ / "in.safetensors", inputs_);
  run_forward({.model = (folder_ / "m").string(),
               .input = (folder_ / "in.safetensors").string(),
               .output = (folder_ / "out.safetensors").string(),
               .dtype = "float32",
               .device = "cpu"});
  EXPECT_TRUE(at::allclose(out(), io_.at("forward.out"), 0, 1e-5));
}

TEST_F(ForwardDitMoe, NamesWhatDoesNotFit) {
  auto inputs = inputs_;
  inputs["y"] = at::tensor({0, 1, 11}, at::kLong);
  EXPECT_REFUSED(DataError, run(inputs), "y must be in [0, 10]", "got 11");
  inputs["y"] = at::rand({3});
  EXPECT_REFUSED(ShapeError, run(inputs), "[y]", "integer");
  inputs = inputs_;
  inputs["x"] = at::rand({3, 4, 16, 16});
  EXPECT_REFUSED(ShapeError, run(inputs), "x must be", "(B, 4, 8, 8)");
  inputs.erase("t");
  EXPECT_REFUSED(DataError, run(inputs), "'t' is missing");
}

class ForwardOlmoe : public ::testing::Test {
 protected:
  ForwardReport run(const TensorMap& inputs, const std::string& dtype = "float32") {
    save_tensors(folder_ / "in.safetensors", inputs);
    return run_forward({.model = kFolder,
                        .input = (folder_ / "in.safetensors").string(),
                        .output = (folder_ / "out.safetensors").string(),
                        .dtype = dtype,
                        .device = "cpu"});
  }
  at::Tensor out() { return load_tensors(folder_ / "out.safetensors").at("logits"); }
  const std::string kFolder = POLYPHONY_SOURCE_DIR "/tests/golden/olmoe/gqa";
  const TensorMap io_ = load_tensors(kFolder + "/io.safetensors");
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(ForwardOlmoe, GivesTheLogitsOfTransformers) {
  EXPECT_EQ(run({{"input_ids", io_.at("input_ids")}}).architecture, "olmoe");
  EXPECT_TRUE(at::allclose(out(), io_.at("logits"), 0, 1e-5));
  run({{"input_ids", io_.at("input_ids").to(at::kInt)}});
  EXPECT_TRUE(at::allclose(out(), io_.at("logits"), 0, 1e-5));
  run({{"input_ids", io_.at("input_ids")}}, "bfloat16");
  EXPECT_FALSE(at::equal(out(), io_.at("logits")));
  run({{"input_ids", at::zeros({0, 5}, at::kLong)}});
  EXPECT_EQ(out().sizes(), at::IntArrayRef({0, 5, 40}));
}

TEST_F(ForwardOlmoe, NamesWhatDoesNotFit) {
  EXPECT_REFUSED(ShapeError, run({{"input_ids", at::zeros({5}, at::kLong)}}), "[input_ids]", "(B, S)");
  EXPECT_REFUSED(ShapeError, run({{"input_ids", at::zeros({1, 5})}}), "[input_ids]", "integers");
  EXPECT_REFUSED(DataError, run({{"input_ids", at::full({1, 5}, 40, at::kLong)}}), "[0, 40)", "40");
  EXPECT_REFUSED(UsageError, run({{"input_ids", at::zeros({1, 65}, at::kLong)}}), "at most 64 tokens", "65");
}

}  // namespace
}  // namespace polyphony::pipelines
