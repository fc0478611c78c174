// SPDX-License-Identifier: Apache-2.0
// A training step of the default recipe, from a batch to changed weights: our side of train_step/default_model. Making
// the batch is not counted.
//   train_step_bench MODEL RECIPE [THREADS]   (default 2); starts from the weights of the shipped model
// input STEP FILE   the batch, as packed tokens and as tables
// run IN OUT|-      one step; OUT: its loss, the parts, the norm of the gradients
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <malloc.h>

#include <cstdlib>

#include "bench/measure.h"
#include "bench/serve.h"
#include "pipelines/train/joint_loss.h"
#include "pipelines/train/optimizer.h"
#include "pipelines/train/recipe.h"

namespace polyphony::bench {
namespace {

using namespace polyphony::pipelines;

constexpr uint64_t kSeed = 1;
constexpr double kLearningRate = 1e-4;

struct Training {
  Training(const std::filesystem::path& model, Config config)
      : bundle(load_joint(model)),
        recipe(read_joint_recipe(config)),
        bf16(train_recipe(config).bf16),
        data(recipe, bundle, {}, kSeed),
        optimizer(*bundle.model, train_recipe(config).optimizer) {
    bundle.model->train();
  }
  JointBundle bundle;
  JointRecipe recipe;
  bool bf16;
  JointData data;
  Optimizer optimizer;
};

JointStep batch_of(Training& training, int64_t step) {
  auto generator = joint_generator(kSeed, step);
  return joint_step(training.data, training.recipe, generator, step);
}

nlohmann::json make_input(Training& training, const Words& words) {
  const int64_t step = std::stoll(words.at(0));
  const auto batch = batch_of(training, step);
  const auto layout = joint_layout(batch.input.texts, training.bundle.config.grid());
  save_tensors(words.at(1), {{"step", at::scalar_tensor(step, at::kLong)},
                             {"noisy_BCHW", batch.input.noisy_BCHW},
                             {"clean_BCHW", batch.clean_BCHW},
                             {"t_B", batch.input.t_B},
                             {"pixels_NCHW", batch.input.pixels_NCHW},
                             {"text_ids", at::tensor(layout.text_ids, at::kLong)},
                             {"source_T", layout.source_T},
                             {"modality_T", layout.fields.modality_T},
                             {"position_TA", layout.fields.position_TA},
                             {"span_T", layout.fields.span_T},
                             {"sample_offsets", at::tensor(layout.fields.sample_offsets, at::kLong)},
                             {"condition_T", layout.condition_T},
                             {"latent_rows", layout.latent_rows},
                             {"predict_rows", layout.predict_rows},
                             {"predict_targets", layout.predict_targets}});
  return {{"tokens", layout.source_T.size(0)}};
}

TensorMap step(Training& training, const JointStep& batch) {
  Loss loss;
  at::autocast::set_autocast_enabled(at::kCPU, training.bf16);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto out = training.bundle.model->forward(batch.input);
  loss = joint_loss(out, batch, training.recipe, training.bundle.config.backbone.moe.groups);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  loss.total.backward();
  const double norm = training.optimizer.grad_norm();
  training.optimizer.step(kLearningRate, norm);
  TensorMap told = loss.parts;
  told["loss"] = loss.total.detach();
  told["grad_norm"] = at::scalar_tensor(norm, at::kFloat);
  return told;
}

nlohmann::json run(Training& training, const Words& words) {
  const auto batch = batch_of(training, load_tensors(words.at(0)).at("step").item<int64_t>());
  TensorMap told;
  const double ms = milliseconds([&] { told = step(training, batch); });
  if (words.at(1) != "-") save_tensors(words.at(1), told);
  return {{"values", {ms}}};
}

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony::bench;
  if (argc < 3) {
    std::cerr << "usage: train_step_bench MODEL RECIPE [THREADS]\n";
    return 2;
  }
  at::set_num_threads(argc > 3 ? std::max(1, std::atoi(argv[3])) : 2);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // as the training program does
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  Training training(argv[1], polyphony::Config::from_file(argv[2]));
  serve({{"ready", true}, {"parameters", count_parameters(*training.bundle.model)}},
        {{"input", [&](const Words& words) { return make_input(training, words); }},
         {"run", [&](const Words& words) { return run(training, words); }}});
}
