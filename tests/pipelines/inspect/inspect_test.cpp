// SPDX-License-Identifier: Apache-2.0
#include "pipelines/inspect/inspect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/formats/safetensors.h"
#include "pipelines/session.h"
#include "tests/support/expect_error.h"
#include "tests/support/fake_session.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;

class Inspect : public ::testing::Test {
 protected:
  void write_text(const char* name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  void write_weights(const char* name, const std::map<std::string, std::vector<float>>& tensors) {
    fs::create_directories((folder_ / name).parent_path());
    std::vector<formats::TensorBytes> list;
    for (const auto& [tensor, values] : tensors)
      list.push_back(
          {tensor, formats::DType::f32, {static_cast<int64_t>(values.size())}, std::as_bytes(std::span(values))});
    formats::write_safetensors(folder_ / name, list);
  }
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(Inspect, CountsAModelAndTheShareOfItsExpertsThatATokenUses) {
  write_text("m/config.json", R"({"architectures": ["OurMoE"], "num_experts": 4, "experts_per_token": 1})");
  write_weights("m/model.safetensors", {{"embed.weight", std::vector<float>(10, 1)},
                                        {"layers.0.experts.w13", std::vector<float>(40, 1)},
                                        {"layers.0.shared_experts.w13", std::vector<float>(5, 1)}});
  const auto found = inspect(folder_ / "m");
  EXPECT_EQ(found.kind, InspectedKind::model);
  EXPECT_EQ(found.architecture, "OurMoE");
  EXPECT_EQ(found.parameters_total, 55);
  EXPECT_EQ(found.parameters_active, 25);
  EXPECT_EQ(found.memory_bytes, 220u);
  EXPECT_EQ(found.non_finite, 0);
}

TEST_F(Inspect, CountsExpertsThatAreTensorsOfTheirOwn) {
  write_text("m/config.json", R"({"model_type": "dit_moe", "num_experts": 4, "num_experts_per_tok": 2})");
  std::map<std::string, std::vector<float>> tensors{{"gate.weight", std::vector<float>(7, 1)}};
  for (const char* expert : {"0", "1", "2", "3"})
    tensors[std::string("moe.experts.") + expert + ".up_proj.weight"] = std::vector<float>(9, 1);
  write_weights("m/model.safetensors", tensors);
  EXPECT_EQ(inspect(folder_ / "m").parameters_active, 7 + 2 * 9);
  const auto golden = inspect(POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe");
  EXPECT_EQ(golden.architecture, "dit_moe");
  EXPECT_EQ(golden.parameters_total, 467'456);
  EXPECT_EQ(golden.parameters_active, 301'568);
}

TEST_F(Inspect, FindsEveryValueThatIsNotFinite) {
  write_weights("x.safetensors", {{"a", {1, NAN, -INFINITY, 3e38f, 1e-45f}}});
  const auto found = inspect(folder_ / "x.safetensors");
  EXPECT_EQ(found.non_finite, 2);
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_NE(found.warnings[0].find("'a'"), std::string::npos);
}

TEST_F(Inspect, SumsThePartsOfAPipelineFolder) {
  write_text(
      "p/model_index.json",
      R"({"_class_name": "DiTPipeline", "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "X"]})");
  write_text("p/scheduler/scheduler_config.json", "{}");
  write_text("p/vae/config.json", R"({"_class_name": "AutoencoderKL"})");
  write_weights("p/vae/diffusion_pytorch_model.safetensors", {{"a", {1, 2, 3}}});
  const auto found = inspect(folder_ / "p");
  EXPECT_EQ(found.kind, InspectedKind::pipeline);
  ASSERT_EQ(found.parts.size(), 1u);
  EXPECT_EQ(found.parts[0].architecture, "AutoencoderKL");
  EXPECT_EQ(found.parameters_total, 3);
}

TEST_F(Inspect, ShowsThePictureAndWhatDrewIt) {
  const GenerateRequest used{.prompt = "a star", .steps = 4, .guidance = 2.0, .seed = 3};
  const auto file = (folder_ / "x.png").string();
  save_picture({polyphony::testing::fake_picture(3), 3, parameters_json(used, 3, "m")}, {.file = file});
  const auto found = inspect(file);
  EXPECT_EQ(found.kind, InspectedKind::picture);
  EXPECT_EQ(found.width, 16);
  EXPECT_EQ(nlohmann::json::parse(to_json(found))["request"]["prompt"], "a star");
}

TEST_F(Inspect, RefusesWhatIsDamagedNamingTheFile) {
  write_text("torn.safetensors", std::string("\x20\0\0\0\0\0\0\0{", 9));
  EXPECT_REFUSED(DataError, inspect(folder_ / "torn.safetensors"), "torn.safetensors");
  write_text("m/config.json", "{");
  write_weights("m/model.safetensors", {{"a", {1}}});
  EXPECT_REFUSED(DataError, inspect(folder_ / "m"), "config.json");
  write_text("empty/config.json", "{}");
  EXPECT_REFUSED(DataError, inspect(folder_ / "empty"), "empty");
  EXPECT_REFUSED(DataError, inspect(folder_ / "none"), "none");
}

TEST_F(Inspect, HostileTextInAPictureIsShownWithoutControlCharacters) {
  const GenerateRequest used{.prompt = "a \x1b[2J star", .steps = 4, .guidance = 2.0, .seed = 3};
  const auto file = (folder_ / "x.png").string();
  save_picture({polyphony::testing::fake_picture(3), 3, parameters_json(used, 3, "m")}, {.file = file});
  EXPECT_EQ(to_text(inspect(file)).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace polyphony::pipelines
