// SPDX-License-Identifier: Apache-2.0
#include "pipelines/data/classes/class_data.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/tensor_io.h"
#include "modalities/image/encode.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

// A ramp from left to right, so that mirroring shows.
at::Tensor ramp(int64_t side, int64_t step) {
  return (at::arange(side, at::kLong) * step).to(at::kByte).view({1, side, 1}).expand({side, side, 3}).contiguous();
}

void write_picture(const fs::path& file, const at::Tensor& bytes_HWC) {
  fs::create_directories(file.parent_path());
  write_file_atomic(file, std::string_view(image::encode_png(bytes_HWC)));
}

class ClassImages : public ::testing::Test {
 protected:
  void SetUp() override {
    write_picture(folder_ / "10" / "a.png", ramp(8, 3));
    write_picture(folder_ / "9" / "b.png", ramp(8, 10));
    write_picture(folder_ / "9" / "a.png", ramp(8, 20));
    write_file_atomic(folder_ / "9" / ".DS_Store", std::string_view("x"));
  }
  std::unique_ptr<ClassData> open(ClassImagesOptions options = {.side = 8}) {
    options.folder = folder_.path();
    return open_class_images(options);
  }
  polyphony::testing::TemporaryFolder folder_;
  at::Generator generator_ = make_generator(1);
};

TEST_F(ClassImages, AreTheNumbersThatTheirFoldersSay) {
  const auto data = open();
  EXPECT_EQ(data->size(), 3);
  EXPECT_EQ(data->num_classes(), 11);
  EXPECT_EQ(data->names(), (std::map<int64_t, std::string>{{9, "9"}, {10, "10"}}));
  EXPECT_EQ(data->label(0), 9);
  EXPECT_EQ(data->label(2), 10);
  write_picture(folder_ / "010" / "a.png", ramp(8, 3));
  EXPECT_REFUSED(DataError, open(), "'10'", "'010'");
}

TEST_F(ClassImages, AreCountedInTheOrderOfTheirNamesWhereThoseAreWords) {
  write_picture(folder_ / "dog" / "a.png", ramp(8, 3));
  EXPECT_EQ(open()->names(), (std::map<int64_t, std::string>{{0, "10"}, {1, "9"}, {2, "dog"}}));
}

TEST_F(ClassImages, GivePixelsFromMinusOneToOneAndTheirMirrorImage) {
  const auto data = open();
  const auto x = data->sample(0, false, generator_);
  EXPECT_EQ(x.sizes(), at::IntArrayRef({3, 8, 8}));
  EXPECT_NEAR(x[0][0][0].item<double>(), -1, 1e-6);
  EXPECT_NEAR(x[0][0][7].item<double>(), 140 / 127.5 - 1, 1e-6);
  EXPECT_TRUE(at::equal(data->sample(0, true, generator_), x.flip(-1)));
  EXPECT_EQ(open({.side = 8, .channels = 1})->sample(0, false, generator_).sizes(), at::IntArrayRef({1, 8, 8}));
  EXPECT_EQ(open({.side = 4})->sample(0, false, generator_).sizes(), at::IntArrayRef({3, 4, 4}));
}

TEST_F(ClassImages, AreEncodedWithNewNoiseEachTime) {
  at::manual_seed(1);
  const latent::AutoencoderConfig config{.block_out_channels = {4, 4}, .norm_num_groups = 2};
  const auto vae = std::make_shared<latent::AutoencoderKL>(config);
  const ClassImagesOptions options{.autoencoder = vae, .side = 4};
  const auto data = open(options);
  const auto a = data->sample(0, false, generator_);
  EXPECT_EQ(a.sizes(), at::IntArrayRef({4, 4, 4}));
  EXPECT_FALSE(at::equal(data->sample(0, false, generator_), a));
  auto first = make_generator(5), second = make_generator(5);
  auto uncached = options;
  const auto autocast = at::autocast::is_autocast_enabled(at::kCPU);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  EXPECT_EQ(open(options)->sample(1, false, generator_).scalar_type(), at::kFloat);
  at::autocast::set_autocast_enabled(at::kCPU, autocast);
  uncached.cache_bytes = 0;  // what is kept changes nothing
  EXPECT_TRUE(at::equal(data->sample(1, true, first), open(uncached)->sample(1, true, second)));
}

TEST_F(ClassImages, NameTheFolderOrFileThatIsWrong) {
  write_file_atomic(folder_ / "10" / "notes.txt", std::string_view("no picture"));
  EXPECT_REFUSED(DataError, open(), "notes.txt");
  fs::remove(folder_ / "10" / "notes.txt");
  fs::create_directory(folder_ / "11");
  EXPECT_REFUSED(DataError, open(), "11", "expected pictures");
  const polyphony::testing::TemporaryFolder empty;
  EXPECT_REFUSED(DataError, open_class_images({.folder = empty.path()}), "one folder a class");
  EXPECT_REFUSED(DataError, open_class_images({.folder = empty / "none"}), "no folder");
}

TEST(ClassLatents, AreReadWithTheirLabels) {
  const polyphony::testing::TemporaryFolder folder;
  const auto file = folder / "latents.safetensors";
  const auto latents = at::randn({3, 4, 8, 8});
  save_tensors(file, {{"latents", latents}, {"labels", at::tensor({2, 0, 5}, at::kLong)}});
  const auto data = open_class_latents(file, 4, 8);
  auto generator = make_generator(1);
  EXPECT_EQ(data->size(), 3);
  EXPECT_EQ(data->num_classes(), 6);
  EXPECT_EQ(data->label(2), 5);
  EXPECT_TRUE(at::equal(data->sample(1, false, generator), latents[1]));
  EXPECT_REFUSED(DataError, open_class_latents(file, 4, 16), "latents", "16");
  save_tensors(file, {{"latents", latents}});
  EXPECT_REFUSED(DataError, open_class_latents(file, 4, 8), "'labels' is missing");
  save_tensors(file, {{"latents", latents}, {"labels", at::tensor({2, 0}, at::kLong)}});
  EXPECT_REFUSED(DataError, open_class_latents(file, 4, 8), "labels");
  save_tensors(file, {{"latents", latents}, {"labels", at::tensor({2, 0, -1}, at::kLong)}});
  EXPECT_REFUSED(DataError, open_class_latents(file, 4, 8), "negative");
  save_tensors(file, {{"latents", latents / 0}, {"labels", at::tensor({2, 0, 1}, at::kLong)}});
  EXPECT_REFUSED(DataError, open_class_latents(file, 4, 8), "latents");
}

}  // namespace
}  // namespace polyphony::pipelines
