// SPDX-License-Identifier: Apache-2.0
// Packed weights beside a folder: used when they fit, made anew when they do not.
#include <fstream>

#include "core/nn/packed_file.h"
#include "tests/pipelines/olmoe/golden.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

class PackedFile : public ::testing::TestWithParam<ops::WeightFormat> {
 protected:
  void SetUp() override { fs::copy(olmoe_golden("gqa"), folder_.path(), fs::copy_options::recursive); }
  LoadedOlmoe load(bool keep = false) {
    auto loaded = load_olmoe(OlmoeReader(folder_.path()), GetParam(), {.keep_packed = keep});
    logits_ = forward(loaded.model, ids_);
    return loaded;
  }
  fs::path file() { return packed_file(folder_.path(), GetParam()); }
  // A warning that names the file and this word.
  void expect_made_anew(const char* word) {
    const auto before = logits_;
    const auto loaded = load();
    ASSERT_EQ(loaded.warnings.size(), 1U);
    EXPECT_NE(loaded.warnings[0].find(file().string()), std::string::npos);
    EXPECT_NE(loaded.warnings[0].find(word), std::string::npos) << loaded.warnings[0];
    EXPECT_TRUE(at::equal(logits_, before));
    EXPECT_TRUE(load().warnings.empty());
    EXPECT_TRUE(at::equal(logits_, before));
  }
  polyphony::testing::TemporaryFolder folder_;
  const at::Tensor ids_ = at::arange(3, 12, at::kLong);
  at::Tensor logits_;
};

TEST_P(PackedFile, IsWrittenWhenAskedForAndGivesTheSameBits) {
  load();
  const auto expected = logits_;
  EXPECT_FALSE(fs::exists(file()));
  load(true);
  ASSERT_TRUE(fs::exists(file()));
  EXPECT_TRUE(at::equal(logits_, expected));
  const auto mapped = load();
  EXPECT_TRUE(at::equal(logits_, expected));
  EXPECT_TRUE(mapped.warnings.empty());
  const auto* steps = std::get<ops::PackedMatrices>(mapped.model.layers[1].w2_EDF).steps.const_data_ptr();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(steps) % 64, 0U);
}

TEST_P(PackedFile, IsReadInPlaceOfTheWeights) {
  load(true);
  const auto before = logits_;
  std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(4096);
  bytes.write(std::string(640, '\x3f').data(), 640);
  bytes.close();
  load();
  EXPECT_FALSE(at::equal(logits_, before));
}

TEST_P(PackedFile, IsMadeAnewWhenItIsCutOrOfOtherWeights) {
  load(true);
  fs::resize_file(file(), fs::file_size(file()) - 1);
  expect_made_anew("bytes");
  fs::resize_file(file(), 10);
  expect_made_anew("other weights");
  const auto weights = folder_ / "model.safetensors";
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(1));
  expect_made_anew("other weights");
}

INSTANTIATE_TEST_SUITE_P(Formats, PackedFile,
                         ::testing::Values(ops::WeightFormat::bf16, ops::WeightFormat::int8, ops::WeightFormat::int4),
                         [](const auto& format) { return std::string(ops::to_string(format.param)); });

}  // namespace
}  // namespace polyphony::pipelines
