// SPDX-License-Identifier: Apache-2.0
#include "pipelines/convert/quantize_olmoe.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"
#include "core/tensor_io.h"
#include "pipelines/chat/chat.h"
#include "pipelines/olmoe/folder.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

const fs::path kGolden = fs::path(POLYPHONY_SOURCE_DIR) / "tests/golden/olmoe";

class QuantizeOlmoe : public ::testing::Test {
 protected:
  QuantizeReport quantize(const std::string& name, const std::string& format) {
    return quantize_olmoe({.input = (kGolden / name).string(), .format = format, .output = out().string()}, {});
  }
  fs::path out() { return folder_ / "out"; }
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(QuantizeOlmoe, WritesNumbersAndScalesUnderThePublishedNames) {
  quantize("sharded", "int4");
  const auto tensors = load_tensors(out()), original = load_tensors(kGolden / "sharded");
  const auto& values = tensors.at("model.layers.2.mlp.experts.1.down_proj.weight");
  EXPECT_EQ(values.scalar_type(), at::kByte);
  EXPECT_EQ(values.sizes(), at::IntArrayRef({16, 6}));
  EXPECT_EQ(tensors.at("model.layers.0.self_attn.k_proj.weight_scale").sizes(), at::IntArrayRef({8, 1}));
  EXPECT_TRUE(at::equal(tensors.at("model.layers.1.mlp.gate.weight"), original.at("model.layers.1.mlp.gate.weight")));
  EXPECT_TRUE(at::equal(tensors.at("model.embed_tokens.weight"), original.at("model.embed_tokens.weight")));
  EXPECT_TRUE(tensors.contains("lm_head.weight_scale"));
}

TEST_F(QuantizeOlmoe, TellsTheErrorThatTheFolderThenHas) {
  double before = 0;
  for (const char* format : {"int8", "int4"}) {
    fs::remove_all(out());
    const auto report = quantize("mha", format);
    ASSERT_EQ(report.kinds.size(), 3U);
    const auto exact = load_olmoe(kGolden / "mha").model, plain = load_olmoe(out()).model;
    const auto& w = std::get<at::Tensor>(exact.layers[0].w13_E2FD);
    const auto error = (std::get<at::Tensor>(plain.layers[0].w13_E2FD) - w).norm() / w.norm();
    const auto& experts = report.kinds[1];
    EXPECT_EQ(experts.name, "experts");
    EXPECT_NEAR(error.item<double>(), experts.mean_error, 0.5 * experts.mean_error);
    EXPECT_LE(experts.mean_error, experts.largest_error);
    EXPECT_GT(report.logit_error, before);
    before = report.logit_error;
    EXPECT_GT(report.logit_kl, 0);
    EXPECT_LT(report.bf16_error, 0.1);
    EXPECT_LT(report.bytes_after, report.bytes_before);
    const auto card = read_file(out() / "README.md", 1 << 16);
    EXPECT_NE(card.find(format), std::string::npos);
    EXPECT_NE(card.find("KL of the next token"), std::string::npos);
  }
  EXPECT_LT(before, 0.8);
}

TEST_F(QuantizeOlmoe, MakesAFolderThatAnswersInItsOwnFormat) {
  quantize("mha", "int8");
  const auto chat = open_chat({.model_folder = out().string()});
  EXPECT_EQ(chat->describe().dtype, "int8");
  EXPECT_EQ(chat->answer({.text = "the", .max_tokens = 5}, [](std::string_view) { return true; }).tokens, 5);
  EXPECT_EQ(open_chat({.model_folder = out().string(), .dtype = "float32"})->describe().dtype, "float32");
  EXPECT_REFUSED(UsageError, open_chat({.model_folder = out().string(), .dtype = "int4"}), "int8", "int4");
}

TEST_F(QuantizeOlmoe, TiedHeadsAreQuantisedWhileLoading) {
  quantize("gqa", "int8");
  EXPECT_FALSE(load_tensors(out()).contains("lm_head.weight"));
  const auto model = load_olmoe(out(), ops::WeightFormat::int8).model;
  EXPECT_EQ(std::get<ops::PackedMatrices>(model.head_VD).format, ops::WeightFormat::int8);
}

TEST_F(QuantizeOlmoe, RefusesWhatItCannotQuantise) {
  EXPECT_REFUSED(UsageError, quantize("mha", "int3"), "[quantize]", "'int3'");
  EXPECT_REFUSED(UsageError, quantize("mha", "bf16"), "[quantize]");
  EXPECT_REFUSED(DataError, quantize("none", "int8"), "config.json");
  EXPECT_FALSE(fs::exists(out()));
  quantize("mha", "int8");
  EXPECT_REFUSED(UsageError, quantize("mha", "int8"), "[output]", "not empty");
  EXPECT_REFUSED(
      DataError,
      quantize_olmoe({.input = out().string(), .format = "int4", .output = (folder_ / "again").string()}, {}),
      "quantised");
  EXPECT_REFUSED(
      CancelledError,
      quantize_olmoe({.input = (kGolden / "mha").string(), .format = "int4", .output = (folder_ / "x").string()},
                     [](const Progress&) { return false; }),
      "signal");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace polyphony::pipelines
