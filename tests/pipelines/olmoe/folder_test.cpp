// SPDX-License-Identifier: Apache-2.0
#include "pipelines/olmoe/folder.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/error.h"
#include "tests/pipelines/olmoe/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

class OlmoeFolder : public ::testing::Test {
 protected:
  // A copy of a golden folder with one key of its config.json changed.
  fs::path changed(const std::string& key, const nlohmann::json& value) {
    fs::copy(olmoe_golden("gqa"), folder_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    auto config = nlohmann::json::parse(read_file(folder_ / "config.json", 1 << 20));
    config[key] = value;
    std::ofstream(folder_ / "config.json") << config.dump();
    return folder_.path();
  }
  polyphony::testing::TemporaryFolder folder_;
};

TEST_F(OlmoeFolder, WritesTheTensorsThatItRead) {
  for (const char* name : {"mha", "gqa", "sharded"}) {
    const auto model = load_olmoe(olmoe_golden(name)).model;
    const bool one_file = std::string(name) != "sharded";
    const auto out = folder_ / name;
    save_olmoe(model, out, {.one_file_bytes = one_file ? uint64_t{1} << 30 : 0});
    EXPECT_EQ(fs::exists(out / "model.safetensors"), one_file);
    EXPECT_EQ(fs::exists(out / "model.safetensors.index.json"), !one_file);
    const auto written = load_tensors(out), original = load_tensors(olmoe_golden(name));
    ASSERT_EQ(written.size(), original.size());
    for (const auto& [key, tensor] : original) EXPECT_TRUE(at::equal(written.at(key), tensor)) << key;
    EXPECT_EQ(load_olmoe(out).model.config, model.config);
  }
}

TEST_F(OlmoeFolder, TiesTheHeadToTheEmbedding) {
  const auto model = load_olmoe(olmoe_golden("gqa")).model;
  EXPECT_TRUE(std::get<at::Tensor>(model.head_VD).is_same(model.embedding_VD));
}

TEST_F(OlmoeFolder, RefusesWeightsThatDoNotFitTheConfig) {
  EXPECT_REFUSED(DataError, load_olmoe(changed("num_experts", 6)), "config.json describes 56 tensors", "hold 50");
  EXPECT_REFUSED(DataError, load_olmoe(changed("intermediate_size", 13)), "mlp.experts.0.down_proj.weight", "[16, 13]",
                 "[16, 12]");
  EXPECT_REFUSED(DataError, load_olmoe(changed("tie_word_embeddings", false)), "describes 51 tensors", "hold 50");
  EXPECT_REFUSED(DataError, load_olmoe(changed("model_type", "qwen2_moe")), "config.json", "'olmoe'", "'qwen2_moe'");
}

TEST_F(OlmoeFolder, NamesFilesThatAreMissing) {
  EXPECT_REFUSED(DataError, load_olmoe(folder_ / "none"), "config.json");
  changed("vocab_size", 40);
  fs::remove(folder_ / "model.safetensors");
  EXPECT_REFUSED(DataError, load_olmoe(folder_.path()), "model.safetensors");
}

TEST(Memory, RefusesWhatTheMachineDoesNotHave) {
  EXPECT_GT(available_memory(), 0U);
  check_fits_memory(1, "olmoe", "the model");
  EXPECT_REFUSED(MemoryError, check_fits_memory(uint64_t{1} << 60, "olmoe", "the model"), "the model needs", "1.0 EiB",
                 "are free");
}

}  // namespace
}  // namespace polyphony::pipelines
