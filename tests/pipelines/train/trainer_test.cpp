// SPDX-License-Identifier: Apache-2.0
// The loop on a tiny objective: learning, exact resume, checkpoints that survive damage, the non-finite budget.
#include "pipelines/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/jsonl.h"
#include "core/error.h"
#include "core/nn/linear.h"
#include "core/rng.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

struct Net : torch::nn::Module {
  Net() {
    auto generator = make_generator(3);
    layer = register_module("layer", nn::Linear(8, 8));
    const c10::NoGradGuard no_grad;
    layer->weight.copy_(at::randn({8, 8}, generator));
    layer->bias.zero_();
  }
  nn::Linear layer{nullptr};
};

// Learns the identity; `bad_from` .. `bad_to` give a loss that is not finite.
class TinyObjective : public Objective {
 public:
  torch::nn::Module& module() override { return net_; }
  int64_t samples_per_step() const override { return 4; }
  Loss loss(int64_t step) override {
    auto generator = make_generator(derive_seed(1, "tiny", static_cast<uint64_t>(step)));
    const auto x = at::randn({4, 8}, generator);
    auto total = (net_.layer->forward(x) - x).square().mean();
    if (step >= bad_from && step < bad_to) total = total / 0.0;
    return {.total = total, .parts = {{"square", total.detach()}}};
  }
  void export_model(const fs::path& folder) override { fs::create_directories(folder); }
  int64_t bad_from = 0, bad_to = 0;

 private:
  Net net_;
};

class Trainer : public testing::Test {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    root_ = fs::temp_directory_path() / ("polyphony_trainer_" + std::to_string(::getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  TrainRecipe recipe(const std::string& name, int64_t steps) const {
    TrainRecipe r{.output = root_ / name,
                  .bf16 = false,
                  .max_steps = steps,
                  .logging_steps = 1,
                  .save_steps = 4,
                  .sample_minutes = 0};
    r.schedule = {.learning_rate = 0.05, .warmup_steps = 2, .total_steps = 20};
    return r;
  }
  std::vector<double> losses(const std::string& name) const {
    std::vector<double> out;
    read_jsonl(root_ / name / "metrics.jsonl",
               [&](const nlohmann::json& line, int64_t) { out.push_back(line["loss"].get<double>()); });
    return out;
  }
  static TrainResult train(const TrainRecipe& r, bool resume, const OnTrainEvent& on_event = {}) {
    TinyObjective objective;
    std::optional<Checkpoint> from;
    if (resume) from = load_checkpoint(*newest_checkpoint(r.output / "checkpoints"));
    return train_objective(objective, r, from, "", on_event);
  }

  fs::path root_;
};

TEST_F(Trainer, LossFalls) {
  train(recipe("a", 20), false);
  const auto curve = losses("a");
  ASSERT_EQ(curve.size(), 20u);
  EXPECT_LT(curve.back(), 0.8 * curve.front());
}

TEST_F(Trainer, Bf16CopiesOfWeightsChangeNoDigitOfTheLosses) {
  auto with = recipe("with", 5), without = recipe("without", 5);
  with.bf16 = without.bf16 = true;
  without.optimizer.bf16_copies = false;
  train(with, false);
  train(without, false);
  ASSERT_EQ(losses("with").size(), 5u);
  EXPECT_EQ(losses("with"), losses("without"));
}

TEST_F(Trainer, StoppedAndResumedRunHasTheSameLossesToTheLastDigit) {
  train(recipe("whole", 20), false);
  // Stopped after step 7, where a checkpoint is written; then cut off after step 14, two steps past a checkpoint.
  const auto first = train(recipe("parts", 20), false, [](const TrainEvent& e) { return e.step < 7; });
  EXPECT_TRUE(first.stopped);
  try {
    train(recipe("parts", 20), true, [](const TrainEvent& e) -> bool {
      if (e.step == 14) throw std::runtime_error("killed");
      return true;
    });
    FAIL() << "the run went on";
  } catch (const std::runtime_error&) {
  }
  const auto last = train(recipe("parts", 20), true);
  EXPECT_FALSE(last.stopped);
  EXPECT_EQ(losses("parts"), losses("whole"));
}

TEST_F(Trainer, DamagedNewestCheckpointIsPassedOver) {
  auto r = recipe("a", 12);
  r.save_total_limit = 3;
  train(r, false);
  std::ofstream(r.output / "checkpoints/step-12/weights.safetensors", std::ios::app) << "x";
  std::string warnings;
  EXPECT_EQ(newest_checkpoint(r.output / "checkpoints", &warnings)->filename(), "step-8");
  EXPECT_NE(warnings.find("weights.safetensors must have"), std::string::npos) << warnings;
  fs::remove(r.output / "checkpoints/step-8/manifest.json");
  EXPECT_EQ(newest_checkpoint(r.output / "checkpoints")->filename(), "step-4");
  EXPECT_THROW(load_checkpoint(r.output / "checkpoints/step-12"), DataError);
}

TEST_F(Trainer, UnfinishedCheckpointFolderIsNotSeen) {
  fs::create_directories(root_ / "checkpoints/step-9.tmp");
  EXPECT_FALSE(newest_checkpoint(root_ / "checkpoints").has_value());
}

TEST_F(Trainer, NonFiniteStepsAreSkippedUpToTheBudget) {
  TinyObjective objective;
  objective.bad_from = 5, objective.bad_to = 8;
  auto r = recipe("a", 12);
  r.max_skipped_steps = 3;
  const auto result = train_objective(objective, r, std::nullopt, "", {});
  EXPECT_EQ(result.steps, 12);
  objective.bad_to = 12;
  r.output = root_ / "b";
  EXPECT_THROW(train_objective(objective, r, std::nullopt, "", {}), NonFiniteError);
}

TEST_F(Trainer, KeepsOnlyTheNewestCheckpoints) {
  train(recipe("a", 20), false);
  int64_t folders = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(root_ / "a/checkpoints")) ++folders;
  EXPECT_EQ(folders, 2);
}

}  // namespace
}  // namespace polyphony::pipelines
