// SPDX-License-Identifier: Apache-2.0
// An evaluation of a toy model with random weights: what it leaves on disk, and that looking changes no figure.
#include "pipelines/eval/eval.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "modalities/image/decode.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_joint.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kScenes = 30, kSteps = 3;

nlohmann::json read(const std::filesystem::path& file) { return nlohmann::json::parse(read_file(file, 1 << 24)); }

TEST(Eval, LeavesPicturesFailuresSharesAndExpertTables) {
  const testing::TemporaryFolder folder;
  save_joint(testing::tiny_bundle(), folder / "model", at::kFloat);
  EvalOptions options{.session = {.model_folder = (folder / "model").string(), .threads = 1},
                      .count = kScenes,
                      .seed = 4,
                      .steps = kSteps};
  const auto plain = run_eval(options, {});
  options.samples = (folder / "samples").string();
  options.experts = (folder / "experts").string();
  const auto report = run_eval(options, {});
  EXPECT_EQ(report->picture_right, plain->picture_right);
  EXPECT_EQ(report->caption_exact, plain->caption_exact);

  const auto samples = folder / "samples";
  EXPECT_EQ(image::load_image(samples / "sheet.png").sizes(), (std::vector<int64_t>{4 * 386 - 2, 8 * 386 - 2, 3}));
  EXPECT_EQ(image::load_image(samples / "failures.png").size(0), 5 * 194 - 2) << "20 pairs, 4 a row";
  const auto failures = read_file(samples / "failures.txt", 1 << 20);
  EXPECT_NE(failures.find("\n20. scene "), std::string::npos);
  EXPECT_EQ(failures.find("\n21. scene "), std::string::npos);
  EXPECT_NE(failures.find("was asked for"), std::string::npos);
  const auto metrics = read(samples / "metrics.json");
  EXPECT_EQ(metrics["pictures"]["objects_right"]["total"], kScenes);
  EXPECT_EQ(metrics["captions"]["exact"]["rate"], report->caption_exact);
  EXPECT_EQ(metrics["autoencoder"]["objects_right"]["total"], kScenes);

  const auto steps = read(folder / "experts/expert_steps.json"), places = read(folder / "experts/expert_places.json"),
             load = read(folder / "experts/expert_load.json");
  EXPECT_EQ(steps["by"], "denoising step");
  ASSERT_EQ(steps["layers"].size(), 2u);
  EXPECT_EQ(steps["layers"][0]["rows"], nlohmann::json({"step 1", "step 2", "step 3"}));
  EXPECT_EQ(steps["layers"][0]["tokens"], nlohmann::json({540, 540, 540})) << "30 scenes, 2 passes, 9 cells";
  EXPECT_EQ(places["layers"][0]["rows"].size(), 18u);
  EXPECT_EQ(places["layers"][0]["rows"][10], "image top");
  EXPECT_EQ(load["by"], "modality");
  for (const auto& table : {steps, places, load})
    for (const auto& layer : table["layers"])
      for (const auto& row : layer["share"]) {
        double sum = 0;
        for (const auto& share : row) sum += share.get<double>();
        EXPECT_NEAR(sum, 1, 1e-9);
      }
}

}  // namespace
}  // namespace polyphony::pipelines
