// SPDX-License-Identifier: Apache-2.0
// Released files to a model folder: the same weights come out, whatever wrapped them; what does not fit is refused.
#include "pipelines/convert/convert.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/check.h"
#include "core/tensor_io.h"
#include "modalities/latent/autoencoder_io.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/dit_moe/published.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

const fs::path kTiny = POLYPHONY_SOURCE_DIR "/tests/golden/tiny_dit_moe";

TensorMap published(const DitMoe& model) { return published_views(model.config(), state_of(model)); }

class Convert : public ::testing::Test {
 protected:
  ConvertOptions options(const std::string& input) {
    return {.input = (kTiny / input).string(),
            .config = (kTiny / "config.json").string(),
            .mode = "ddpm",
            .output = (folder_ / "out").string()};
  }
  DitMoePipeline converted(const ConvertOptions& o) {
    run_convert(o, {});
    return load_dit_moe_pipeline(o.output);
  }
  // The published tensors with one change, as a .safetensors file.
  ConvertOptions changed(const std::function<void(TensorMap&)>& edit) {
    auto tensors = load_tensors(kTiny / "model.safetensors");
    edit(tensors);
    save_tensors(folder_ / "in.safetensors", tensors);
    auto o = options("");
    o.input = (folder_ / "in.safetensors").string();
    return o;
  }
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(Convert, TakesTheAveragedWeightsOfATrainingCheckpoint) {
  const auto report = run_convert(options("training.pt"), {});
  EXPECT_EQ(report.state_dict, "ema");
  const auto expected = load_tensors(kTiny / "model.safetensors");
  EXPECT_EQ(report.tensors, std::ssize(expected));
  const auto loaded = load_dit_moe_pipeline(folder_ / "out");
  EXPECT_EQ(loaded.mode, DitMoeMode::ddpm);
  const auto found = published(*loaded.model);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
}

TEST_F(Convert, TakesABareStateDictWithAPrefixInHalfPrecision) {
  const auto found = published(*converted(options("deepspeed.pt")).model);
  for (const auto& [name, tensor] : load_tensors(kTiny / "model.safetensors"))
    EXPECT_TRUE(at::equal(found.at(name), tensor.to(at::kHalf).to(at::kFloat))) << name;
}

TEST_F(Convert, TakesSafetensorsToo) {
  auto o = options("model.safetensors");
  o.mode = "rf";
  EXPECT_EQ(converted(o).mode, DitMoeMode::rectified_flow);
}

TEST_F(Convert, ReadsAPickledAutoencoderWithItsFormerNames) {
  auto o = options("training.pt");
  o.vae = (kTiny / "vae").string();
  const auto found = converted(o);
  ASSERT_TRUE(found.autoencoder);
  const auto expected = latent::load_autoencoder(POLYPHONY_SOURCE_DIR "/tests/golden/autoencoder_kl/two_levels").model;
  const auto state = state_of(*expected);
  for (const auto& [name, tensor] : state_of(*found.autoencoder))
    EXPECT_TRUE(at::equal(tensor, state.at(name))) << name;
}

TEST_F(Convert, KeepsNamesOfClasses) {
  auto o = options("training.pt");
  write_file_atomic(folder_ / "labels.json", std::string_view(R"({"4": "golden retriever"})"));
  o.labels = (folder_ / "labels.json").string();
  EXPECT_EQ(converted(o).labels, (std::map<int64_t, std::string>{{4, "golden retriever"}}));
  write_file_atomic(folder_ / "labels.json", std::string_view(R"({"5": "x"})"));
  o.output = (folder_ / "other").string();
  EXPECT_REFUSED(DataError, run_convert(o, {}), "labels.json", "classes 0..4");
}

TEST_F(Convert, ComputesPositionsThatAreNotStored) {
  const auto o = changed([](TensorMap& t) { t.erase("pos_embed"); });
  EXPECT_TRUE(at::equal(published(*converted(o).model).at("pos_embed"),
                        published(DitMoe(load_dit_moe(kTiny).model->config())).at("pos_embed")));
}

TEST_F(Convert, RefusesWhatDoesNotFitAndWritesNothing) {
  struct Row {
    std::function<void(TensorMap&)> edit;
    const char* says;
  };
  const std::string expert = "blocks.1.moe.experts.2.up_proj.weight";
  const std::vector<Row> rows = {
      {[&](TensorMap& t) { t.erase(expert); }, "missing 1: blocks.1.moe.experts.2.up_proj.weight"},
      {[&](TensorMap& t) {
         t[expert] = at::zeros({31, 8});
       },
       "expected shape [32, 8], got [31, 8]"},
      {[&](TensorMap& t) { t["blocks.2.attn.qkv.bias"] = at::zeros({24}); }, "unexpected 1"},
      {[&](TensorMap& t) { t[expert].fill_(NAN); }, "up_proj"},
      {[&](TensorMap& t) { t.erase("blocks.0.moe.gate.weight"); }, "blocks.0.moe.gate.weight is missing"},
      {[&](TensorMap& t) {
         t["blocks.0.mlp.fc1.weight"] = at::zeros({32, 8});
       },
       "GELU"},
  };
  for (const auto& row : rows) EXPECT_REFUSED(DataError, run_convert(changed(row.edit), {}), row.says);
  auto o = options("training.pt");
  o.config.clear();
  o.preset = "S/2-8E2A";
  EXPECT_REFUSED(DataError, run_convert(o, {}), "parameters, the file holds");
  o.preset = "XL/2-8E2A";
  EXPECT_REFUSED(DataError, run_convert(o, {}), "not normed", "XL/2-8E2A");
  o.preset = "S/2";
  EXPECT_REFUSED(ConfigError, run_convert(o, {}), "S/2-8E2A");
  EXPECT_REFUSED(UsageError, run_convert({.input = o.input, .mode = "rf", .output = o.output}, {}), "either a preset");
  o = options("training.pt");
  o.mode = "flow";
  EXPECT_REFUSED(UsageError, run_convert(o, {}), "rf or ddpm");
  o = options("training.pt");
  EXPECT_REFUSED(CancelledError, run_convert(o, [](const Progress& p) { return p.done < 3; }), "no folder");
  EXPECT_EQ(folder_.num_entries(), 1u);  // in.safetensors: no output, no part of one
  write_file_atomic(folder_ / "out", std::string_view(""));
  EXPECT_REFUSED(UsageError, run_convert(o, {}), "there already");
  fs::remove(folder_ / "out");
  fs::create_directories(folder_ / "out" / "x");
  EXPECT_REFUSED(UsageError, run_convert(o, {}), "not empty");
}

}  // namespace
}  // namespace polyphony::pipelines
