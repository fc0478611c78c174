// SPDX-License-Identifier: Apache-2.0
// DiT-MoE's objective in both modes: deterministic, learns, exports what generate reads, starts from a smaller model.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/check.h"
#include "core/tensor_io.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/train/objectives.h"
#include "pipelines/train/optimizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

class DitMoeObjectiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    at::manual_seed(3);
    // Two classes that a model can tell apart: all high, all low.
    const auto sign = at::tensor({1.0f, -1.0f}).repeat({8}).view({16, 1, 1, 1});
    save_tensors(folder_ / "data.safetensors", {{"latents", sign + 0.1 * at::randn({16, 4, 4, 4})},
                                                {"labels", at::arange(2, at::kLong).repeat({8})}});
  }
  std::string recipe(const std::string& objective, const std::string& model = "") const {
    return join("[model]\ninput_size = 4\nhidden_size = 16\ndepth = 2\nnum_heads = 2\nnum_classes = 2\n", model,
                "\n[objective]\ntype = 'dit_moe'\nbatch_size = 7\nlatents = '", (folder_ / "data.safetensors").string(),
                "'\n", objective, "\n");
  }
  static std::unique_ptr<Objective> make(const std::string& toml, const std::filesystem::path& init_from = {}) {
    at::manual_seed(3);
    auto config = Config::from_string(toml, "test");
    auto objective = make_objective(config, {.seed = 1, .bf16 = false, .init_from = init_from});
    config.check_all_used();
    objective->module().train();
    return objective;
  }
  polyphony::testing::TemporaryFolder folder_;
};

double loss_at(Objective& objective, int64_t step) { return objective.loss(step).total.item<double>(); }

TEST_F(DitMoeObjectiveTest, IsAPureFunctionOfWeightsAndStep) {
  for (const char* mode : {"rf", "ddpm"}) {
    const auto toml = recipe(join("mode = '", mode, "'"));
    const auto a = make(toml), b = make(toml);
    const double first = loss_at(*a, 0), fifth = loss_at(*a, 5);
    EXPECT_EQ(loss_at(*b, 5), fifth) << mode;  // whatever was asked for before
    EXPECT_EQ(loss_at(*b, 0), first) << mode;
    EXPECT_NE(first, fifth) << mode;
  }
}

TEST_F(DitMoeObjectiveTest, HoldsTheBalanceLossAsASummand) {
  const auto loss = make(recipe("mode = 'rf'"))->loss(0);
  EXPECT_NEAR(loss.total.item<double>(), (loss.parts.at("flow") + loss.parts.at("balance")).item<double>(), 1e-6);
  EXPECT_NEAR(loss.parts.at("balance").item<double>(), 2 * 0.01, 0.01);  // two layers, alpha each where balanced
  const auto none = make(recipe("mode = 'rf'", "aux_loss_alpha = 0"))->loss(0);
  EXPECT_EQ(none.parts.at("balance").item<double>(), 0);
  EXPECT_EQ(none.parts.at("flow").item<double>(), loss.parts.at("flow").item<double>());
  const auto ddpm = make(recipe("mode = 'ddpm'"))->loss(0);
  const auto& parts = ddpm.parts;
  EXPECT_NEAR(ddpm.total.item<double>(), (parts.at("mse") + parts.at("bound") + parts.at("balance")).item<double>(),
              1e-6);
}

TEST_F(DitMoeObjectiveTest, LearnsAndReportsItsExperts) {
  const auto objective = make(recipe("mode = 'rf'"));
  Optimizer optimizer(objective->module(), {});
  double early = 0, late = 0;
  for (int64_t step = 0; step < 150; ++step) {
    const auto loss = objective->loss(step);
    loss.total.backward();
    optimizer.step(3e-3, optimizer.grad_norm());
    if (step < 20) early += loss.parts.at("flow").item<double>();
    if (step >= 130) late += loss.parts.at("flow").item<double>();
  }
  EXPECT_LT(late, 0.6 * early);
  const auto figures = objective->statistics();
  EXPECT_TRUE(figures.contains("layer1/load_variation"));
  EXPECT_TRUE(objective->statistics().empty());  // since the last call
}

TEST_F(DitMoeObjectiveTest, ExportsAFolderThatNamesItsMode) {
  for (const char* mode : {"rf", "ddpm"}) {
    const auto objective = make(recipe(join("mode = '", mode, "'")));
    objective->export_model(folder_ / mode);
    const auto loaded = load_dit_moe_pipeline(folder_ / mode);
    EXPECT_EQ(loaded.mode, std::string(mode) == "rf" ? DitMoeMode::rectified_flow : DitMoeMode::ddpm);
    EXPECT_FALSE(loaded.draws_pictures());
    const auto own = state_of(objective->module());
    for (const auto& [name, tensor] : state_of(*loaded.model)) EXPECT_TRUE(at::equal(tensor, own.at(name))) << name;
  }
}

TEST_F(DitMoeObjectiveTest, StartsFromASmallerNumberOfExperts) {
  make(recipe("", "num_experts = 1\nnum_experts_per_tok = 1"))->export_model(folder_ / "dense");
  const auto sparse = make(recipe(""), folder_ / "dense");
  EXPECT_EQ(sparse->note(), "upcycled from 1 to 8 experts");
  const auto from = state_of(*load_dit_moe_pipeline(folder_ / "dense").model).at("blocks.0.moe.experts.w2")[0];
  const auto to = state_of(sparse->module()).at("blocks.0.moe.experts.w2");
  for (int64_t e = 0; e < 8; ++e) EXPECT_TRUE(at::equal(to[e], from)) << e;
}

TEST_F(DitMoeObjectiveTest, RefusesADenseDitWithGeluLayers) {
  make(recipe(""))->export_model(folder_ / "gelu");
  const auto weights = folder_ / "gelu" / "transformer" / "diffusion_pytorch_model.safetensors";
  for (const char* name : {"blocks.0.mlp.fc1.weight", "transformer_blocks.0.ff.net.0.proj.weight"}) {
    save_tensors(weights, {{name, at::zeros({64, 16})}});
    EXPECT_REFUSED(DataError, make(recipe(""), folder_ / "gelu"), "GELU", name);
  }
}

TEST_F(DitMoeObjectiveTest, RefusesRecipesThatContradictThemselves) {
  EXPECT_REFUSED(ConfigError, make(recipe("mode = 'flow'")), "mode", "rf");
  EXPECT_REFUSED(ConfigError, make(recipe("mode = 'ddpm'", "learn_sigma = false")), "learn_sigma");
  EXPECT_REFUSED(ConfigError, make(recipe("flip = true")), "flip", "mirrored");
  EXPECT_REFUSED(ConfigError, make(recipe("images = 'x'")), "either images");
  EXPECT_REFUSED(ConfigError, make(recipe("", "preset = 'S/3'")), "preset", "S/2-8E2A");
  EXPECT_REFUSED(ConfigError,
                 make("[model]\ninput_size = 4\nhidden_size = 16\ndepth = 1\nnum_heads = 2\nnum_classes = 1\n"
                      "[objective]\ntype = 'dit_moe'\nlatents = '" +
                      (folder_ / "data.safetensors").string() + "'\n"),
                 "num_classes", "at least 2");
  EXPECT_REFUSED(MemoryError,
                 make("[model]\npreset = 'G/2-16E2A'\n[objective]\ntype = 'dit_moe'\nlatents = 'x.safetensors'\n"),
                 "GB to train");
}

}  // namespace
}  // namespace polyphony::pipelines
