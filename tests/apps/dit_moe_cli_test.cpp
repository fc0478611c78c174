// SPDX-License-Identifier: Apache-2.0
// The whole way of a class through the command line: convert, generate, and the files that it leaves.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/formats/safetensors.h"
#include "tests/apps/child.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

const std::string kTiny = POLYPHONY_SOURCE_DIR "/tests/golden/tiny_dit_moe";
const std::string kFlat = POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe";

class DitMoeCommandLine : public ::testing::Test {
 protected:
  std::string at(const std::string& name) { return (folder_ / name).string(); }
  // The tiny model with its old autoencoder, as a folder of 8x8 pictures.
  void convert() {
    const auto run = run_child({"convert", kTiny + "/training.pt", "--config", kTiny + "/config.json", "--mode", "ddpm",
                                "--vae", kTiny + "/vae", "--output", at("m")});
    ASSERT_EQ(run.code, 0) << run.err;
  }
  std::string bytes(const std::string& name) { return read_file(folder_ / name, 1 << 24); }
  TemporaryFolder folder_;
};

TEST_F(DitMoeCommandLine, DrawsAClassWithPreviewsAndRouting) {
  convert();
  const auto run = run_child({"generate",
                              "--model",
                              at("m"),
                              "--class",
                              "2",
                              "--steps",
                              "4",
                              "--sampler",
                              "ddim",
                              "--seed",
                              "5",
                              "--size",
                              "8x8",
                              "--previews",
                              at("p"),
                              "--record-routing",
                              at("r.safetensors"),
                              "--output",
                              at("a.png"),
                              "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto document = nlohmann::json::parse(run.out);
  EXPECT_EQ(document["request"]["class"], 2);
  EXPECT_EQ(document["routing"]["shape"], nlohmann::json({4, 2, 1, 4, 2}));
  for (const char* step : {"p/step-000.png", "p/step-003.png"}) EXPECT_TRUE(std::filesystem::exists(folder_ / step));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "p/step-004.png"));
  const auto routing = formats::SafetensorsFile::open(folder_ / "r.safetensors");
  EXPECT_EQ(routing.find("expert_ids")->dtype, formats::DType::i64);
  EXPECT_EQ(routing.find("expert_weights")->shape, (std::vector<int64_t>{4, 2, 1, 4, 2}));
  EXPECT_EQ(routing.find("timesteps")->shape, (std::vector<int64_t>{4}));
  // The picture repeats itself, on another number of threads too.
  const auto again = run_child(
      {"generate", "--model", at("m"), "--from-image", at("a.png"), "--threads", "1", "--output", at("b.png")});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(bytes("a.png"), bytes("b.png"));
}

TEST_F(DitMoeCommandLine, WritesTheLatentsOfSeveralPicturesAsOneTensor) {
  const auto run = run_child(
      {"generate", "--model", kFlat, "--class", "3", "--steps", "2", "--count", "3", "--output", at("l.safetensors")});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto file = formats::SafetensorsFile::open(folder_ / "l.safetensors");
  EXPECT_EQ(file.find("latents")->shape, (std::vector<int64_t>{3, 4, 8, 8}));
  EXPECT_TRUE(file.metadata().contains("polyphony"));
}

TEST_F(DitMoeCommandLine, KeepsWhatIsThere) {
  convert();
  const std::vector<std::string> words = {"generate", "--model",  at("m"),     "--class",    "2",    "--steps",
                                          "2",        "--output", at("a.png"), "--previews", at("p")};
  ASSERT_EQ(run_child(words).code, 0);
  std::filesystem::remove(folder_ / "a.png");
  std::filesystem::remove(folder_ / "p/step-000.png");
  EXPECT_EQ(run_child(words).code, 2) << "step-001.png is of another run";
  auto one_file = words;
  one_file.resize(9);
  one_file.insert(one_file.end(), {"--record-routing", at("a.png")});
  EXPECT_EQ(run_child(one_file).code, 2) << "one name for two results";
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.png"));
}

}  // namespace
}  // namespace polyphony::testing
