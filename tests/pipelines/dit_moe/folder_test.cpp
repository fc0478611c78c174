// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/folder.h"

#include <gtest/gtest.h>

#include "core/base/files.h"
#include "core/error.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

// A model of another size of the family, with no tensor at zero.
std::shared_ptr<DitMoe> random_model(const DitMoeConfig& config) {
  at::manual_seed(5);
  const auto model = std::make_shared<DitMoe>(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.normal_(0, 0.2);
  model->eval();
  return model;
}

DitMoeConfig other_size() {
  return {.input_size = 12,
          .patch_size = 4,
          .in_channels = 3,
          .hidden_size = 36,
          .depth = 2,
          .num_heads = 4,
          .num_classes = 6,
          .num_experts = 5,
          .num_experts_per_tok = 3,
          .qk_norm = true};
}

at::Tensor output_of(DitMoe& model) {
  const at::NoGradGuard no_grad;
  const auto& c = model.config();
  const auto x = at::linspace(-2, 2, 2 * c.in_channels * c.input_size * c.input_size)
                     .sin()
                     .view({2, c.in_channels, c.input_size, c.input_size});
  return model.forward({.x_BCHW = x, .t_B = at::tensor({0.3, 0.9}), .y_B = at::tensor({1, 2}, at::kLong)}).out_BCHW;
}

TEST(DitMoeFolder, SavesAndLoadsTheSameModelUnderThePublishedNames) {
  for (const bool qk_norm : {false, true}) {
    auto config = other_size();
    config.qk_norm = qk_norm;
    const auto model = random_model(config);
    const polyphony::testing::TemporaryFolder folder;
    save_dit_moe(*model, folder.path());
    const auto names = load_tensors(folder.path());
    EXPECT_TRUE(names.contains(qk_norm ? "blocks.1.attn.Wqkv.bias" : "blocks.1.attn.qkv.bias"));
    EXPECT_EQ(names.contains("blocks.0.attn.q_norm.weight"), qk_norm);
    EXPECT_EQ(names.at("blocks.0.moe.experts.4.down_proj.weight").sizes(), at::IntArrayRef({36, 144}));
    EXPECT_EQ(names.at("x_embedder.proj.weight").sizes(), at::IntArrayRef({36, 3, 4, 4}));
    const auto loaded = load_dit_moe(folder.path());
    EXPECT_EQ(loaded.model->config(), config);
    EXPECT_TRUE(at::equal(output_of(*loaded.model), output_of(*model)));
  }
}

TEST(DitMoeFolder, SavesTheGoldenCaseAsItWas) {
  const polyphony::testing::TemporaryFolder folder;
  save_dit_moe(*golden_model(), folder.path());
  const auto before = load_tensors(kDitMoeGolden), after = load_tensors(folder.path());
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(name))) << name;
}

class DitMoeFolderOfGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    config_ = read_file(std::filesystem::path(kDitMoeGolden) / "config.json", 1 << 20);
    tensors_ = load_tensors(kDitMoeGolden);
  }
  LoadedDitMoe load(const std::filesystem::path& inner = "", const char* weights = "model.safetensors") {
    std::filesystem::create_directories(folder_.path() / inner);
    save_tensors(folder_.path() / inner / weights, tensors_);
    write_file_atomic(folder_.path() / inner / "config.json", config_);
    return load_dit_moe(folder_.path());
  }
  void replace(const std::string& text, const std::string& by) { config_.replace(config_.find(text), text.size(), by); }

  polyphony::testing::TemporaryFolder folder_;
  std::string config_;
  TensorMap tensors_;
};

TEST_F(DitMoeFolderOfGolden, LoadsADiffusersFolder) {
  write_file_atomic(folder_ / "model_index.json", "{}");
  const auto loaded = load("transformer", "diffusion_pytorch_model.safetensors");
  EXPECT_TRUE(at::equal(output_of(*loaded.model), output_of(*golden_model())));
}

TEST_F(DitMoeFolderOfGolden, ComputesPositionsThatAreNotStored) {
  const auto stored = output_of(*load().model);
  tensors_.erase("pos_embed");
  EXPECT_LT(largest_error(output_of(*load().model), stored), 1e-5);
}

TEST_F(DitMoeFolderOfGolden, RefusesWhatContradictsItself) {
  replace("\"depth\": 3", "\"depth\": 4");
  EXPECT_REFUSED(DataError, load(), "config.json describes", "the weights hold");
  replace("\"depth\": 4", "\"depth\": 3, \"use_flash_attn\": true");
  EXPECT_REFUSED(DataError, load(), "the weights hold");
  replace(", \"use_flash_attn\": true", "");
  const auto moved = tensors_.extract("blocks.1.moe.gate.weight").mapped();
  tensors_["blocks.1.moe.gates.weight"] = moved;
  EXPECT_REFUSED(DataError, load(), "missing", "blocks.1.moe.gate.weight", "unexpected", "blocks.1.moe.gates.weight");
}

// Of the tokens whose second and third scores differ by more than bfloat16 rounds, the share with the same experts.
double agreement(const moe::Routing& a, const moe::Routing& b) {
  const auto chosen_of = [](const moe::Routing& routing) {
    return at::zeros({routing.num_tokens, routing.num_experts})
        .index_put_({routing.token_N, routing.expert_N}, at::ones({}));
  };
  const auto best_T3 = std::get<0>(a.score_TE.topk(3, -1));
  const auto clear_T = (best_T3.select(1, 1) - best_T3.select(1, 2)) > 1e-2;
  const auto same_T = (chosen_of(a) == chosen_of(b)).all(1);
  return (same_T & clear_T).sum().item<double>() / clear_T.sum().item<double>();
}

TEST(DitMoeFolder, Bfloat16StaysNearAndChoosesTheSameExperts) {
  const auto f32 = golden_model(), bf16 = load_dit_moe(kDitMoeGolden, at::kBFloat16).model;
  const at::NoGradGuard no_grad;
  const DitMoeInput input{golden("forward.x"), golden("forward.t"), golden("forward.y")};
  const auto a = f32->forward(input), b = bf16->forward(input);
  EXPECT_EQ(b.out_BCHW.scalar_type(), at::kFloat);
  const double error = rms(a.out_BCHW - b.out_BCHW) / rms(a.out_BCHW);
  EXPECT_GT(error, 1e-4) << "nothing was computed in bfloat16";
  EXPECT_LT(error, 2e-2);
  for (size_t layer = 0; layer < a.routings.size(); ++layer)
    EXPECT_GE(agreement(a.routings[layer], b.routings[layer]), 0.99) << layer;
  for (const auto& parameter : bf16->named_parameters())
    EXPECT_EQ(parameter.value().scalar_type(), parameter.key().ends_with("gate.weight") ? at::kFloat : at::kBFloat16)
        << parameter.key();
}

}  // namespace
}  // namespace polyphony::pipelines
