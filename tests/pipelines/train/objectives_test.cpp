// SPDX-License-Identifier: Apache-2.0
// Both objectives at toy size: the loss is a pure function of weights and step, it falls, the export loads, resume.
#include "pipelines/train/objectives.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/base/files.h"
#include "core/error.h"
#include "modalities/image/encode.h"
#include "modalities/latent/autoencoder_io.h"
#include "modalities/latent/autoencoder_kl.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/optimizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_joint.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

constexpr const char* kAutoencoder = R"(
[model]
latent_channels = 4
block_out_channels = [4, 4, 4, 4]
layers_per_block = 1
norm_num_groups = 2
[objective]
type = "autoencoder"
batch_size = 2
)";

std::string joint_recipe(const fs::path& autoencoder) {
  return std::string(testing::kTinySizes) + R"([[moe.groups]]
name = "text"
modalities = ["text"]
num_experts = 2
[[moe.groups]]
name = "pictures"
modalities = ["image", "latent"]
num_experts = 2
[objective]
type = "joint"
batch_size = 4
pool_size = 8
vocab_size = 128
tokenizer_sentences = 200
autoencoder = ")" +
         autoencoder.string() + "\"\n";
}

class Objectives : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    folder_ = fs::temp_directory_path() / ("polyphony_objectives_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::unique_ptr<Objective> make(const std::string& toml, const fs::path& init_from = {}) {
    at::manual_seed(3);
    auto config = Config::from_string(toml, "test");
    auto objective = make_objective(config, {.seed = 1, .bf16 = false, .init_from = init_from});
    config.check_all_used();
    return objective;
  }
  fs::path trained_autoencoder() const {
    make(kAutoencoder)->export_model(folder_ / "vae");
    return folder_ / "vae";
  }
  static double loss_at(Objective& objective, int64_t step) {
    const c10::NoGradGuard no_grad;
    return objective.loss(step).total.item<double>();
  }
  // Mean of a fixed set of batches before and after some steps on others.
  static void expect_learning(Objective& objective, double rate, double factor) {
    const auto held_out = [&] { return (loss_at(objective, 1000) + loss_at(objective, 1001)) / 2; };
    const double before = held_out();
    Optimizer optimizer(objective.module(), {.ema_decay = 0});
    for (int64_t step = 0; step < 30; ++step) {
      objective.loss(step).total.backward();
      optimizer.step(rate, optimizer.grad_norm());
    }
    EXPECT_LT(held_out(), factor * before);
  }

  fs::path folder_;
};

TEST_F(Objectives, LossDependsOnWeightsAndStepAlone) {
  const auto recipe = joint_recipe(trained_autoencoder());
  for (const auto& toml : {std::string(kAutoencoder), recipe}) {
    const auto a = make(toml), b = make(toml);
    loss_at(*a, 0);  // history must not matter
    EXPECT_EQ(loss_at(*a, 7), loss_at(*b, 7));
    EXPECT_NE(loss_at(*a, 7), loss_at(*a, 8));
  }
}

TEST_F(Objectives, AutoencoderLearns) { expect_learning(*make(kAutoencoder), 3e-3, 0.8); }

TEST_F(Objectives, ADecoderTrainedAloneKeepsTheLatents) {
  const auto vae = trained_autoencoder();
  const auto recipe = std::string(kAutoencoder) + "train_encoder = false\n";
  EXPECT_THROW(make(recipe), ConfigError) << "whose latents?";
  const auto objective = make(recipe, vae);
  expect_learning(*objective, 3e-3, 0.8);
  objective->export_model(folder_ / "again");
  const auto before = latent::load_autoencoder(vae).model, after = latent::load_autoencoder(folder_ / "again").model;
  const auto x = at::rand({1, 3, 96, 96});
  const c10::InferenceMode inference;
  const auto latents = [&](latent::AutoencoderKL& model) { return model.to_latent(model.encode(x).mean); };
  EXPECT_TRUE(at::equal(latents(*after), latents(*before)));
  EXPECT_FALSE(at::allclose(after->decode(at::ones({1, 4, 12, 12})), before->decode(at::ones({1, 4, 12, 12}))));
}

TEST_F(Objectives, JointModelLearnsToDrawAndToCaption) {
  const auto objective = make(joint_recipe(trained_autoencoder()));
  expect_learning(*objective, 3e-3, 0.9);
  const auto parts = objective->loss(1000).parts;
  EXPECT_LT(parts.at("words").item<double>(), std::log(128.0));
  EXPECT_GE(parts.at("balance").item<double>(), 2 * 2 * 0.99);  // two layers of two groups, each at least 1
  EXPECT_EQ(objective->statistics().count("layer1/load_variation"), 1u);
}

TEST_F(Objectives, ExportedFolderLoadsAndIsGoneOnFrom) {
  const auto recipe = joint_recipe(trained_autoencoder());
  const auto first = make(recipe);
  first->export_model(folder_ / "model");
  EXPECT_EQ(load_joint(folder_ / "model").config.backbone.dim, 32);
  const auto second = make(recipe, folder_ / "model");
  // Exported in bf16: the same model up to that rounding.
  EXPECT_NEAR(loss_at(*second, 5), loss_at(*first, 5), 0.02 * loss_at(*first, 5));
}

// A folder of `count` pictures of one colour with captions of a word that the scenes do not have.
fs::path picture_folder(const fs::path& folder, int64_t count, const std::string& caption) {
  fs::create_directories(folder);
  for (int64_t i = 0; i < count; ++i) {
    const auto name = std::to_string(i);
    write_file_atomic(folder / (name + ".png"), image::encode_png(at::full({96, 96, 3}, 20 * i, at::kByte)));
    write_file_atomic(folder / (name + ".txt"), caption + "\n");
  }
  return folder;
}

TEST_F(Objectives, APictureFolderTeachesItsWordsBesideTheScenes) {
  const auto scenes = joint_recipe(trained_autoencoder());
  const auto pictures = picture_folder(folder_ / "pictures", 3, "a teal ring");
  const auto with = [&](const std::string& share) {
    return scenes + "pictures = \"" + pictures.string() + "\"\npicture_share = " + share + "\n";
  };
  const auto objective = make(with("1.0"));
  // Means over batches that are not trained on.
  const auto mean_of = [&](const char* part) {
    const c10::NoGradGuard no_grad;
    double sum = 0;
    for (int64_t step = 1000; step < 1004; ++step) sum += objective->loss(step).parts.at(part).item<double>() / 4;
    return sum;
  };
  const double words = mean_of("words"), pixels = mean_of("pixels");
  Optimizer optimizer(objective->module(), {.ema_decay = 0});
  for (int64_t step = 0; step < 40; ++step) {
    objective->loss(step).total.backward();
    optimizer.step(3e-3, optimizer.grad_norm());
  }
  EXPECT_LT(mean_of("words"), 0.5 * words) << "one caption for all pictures is soon known by heart";
  EXPECT_LT(mean_of("pixels"), 0.9 * pixels) << "the decoder learns to show them";
  objective->export_model(folder_ / "model");
  EXPECT_EQ(load_joint(folder_ / "model").words, (std::vector<std::string>{"ring", "teal"}));
  // No share of the places: the scenes' loss to the last digit.
  EXPECT_EQ(loss_at(*make(with("0.0")), 3), loss_at(*make(with("0.0")), 3));
  EXPECT_NE(loss_at(*make(with("0.5")), 3), loss_at(*make(with("0.0")), 3));
}

TEST_F(Objectives, CaptionsThatTheModelCannotReadAreRefused) {
  const auto scenes = joint_recipe(trained_autoencoder());
  const auto with = [&](const char* name, const std::string& caption) {
    return scenes + "pictures = \"" + picture_folder(folder_ / name, 1, caption).string() + "\"\n";
  };
  EXPECT_EQ(testing::why_not_refused<DataError>([&] { make(with("letters", "a ₽ ring")); }, {"0.png", "letters"}),
            "");
  std::string long_caption;
  for (int i = 0; i < 200; ++i) long_caption += "red ";
  EXPECT_EQ(testing::why_not_refused<DataError>([&] { make(with("long", long_caption)); }, {"0.png", "at most 128"}),
            "");
  EXPECT_THROW(make(scenes + "pictures = \"" + (folder_ / "none").string() + "\"\n"), DataError);
}

TEST_F(Objectives, WrongRecipesAreRefused) {
  EXPECT_THROW(make("[objective]\ntype = \"poetry\"\n"), ConfigError);
  EXPECT_THROW(make(joint_recipe(folder_ / "none")), DataError);
  auto odd = joint_recipe(trained_autoencoder());
  odd.replace(odd.find("pool_size = 8"), 13, "pool_size = 7");
  EXPECT_THROW(make(odd), ConfigError);
}

}  // namespace
}  // namespace polyphony::pipelines
