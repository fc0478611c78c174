// SPDX-License-Identifier: Apache-2.0
// What a training run optimises: a module, a loss that is a pure function of (weights, step), and what to export.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/base/config.h"

namespace polyphony::pipelines {

struct Loss {
  at::Tensor total = {};                         // scalar with a gradient
  std::map<std::string, at::Tensor> parts = {};  // detached scalars for the log
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual torch::nn::Module& module() = 0;
  // Loss of batch `step`. All data and noise derive from (seed, step), so that a resumed run repeats them.
  virtual Loss loss(int64_t step) = 0;
  // Pictures seen in one step.
  virtual int64_t samples_per_step() const = 0;
  // Writes a model folder from the weights as they are now (the trainer swaps the EMA in).
  virtual void export_model(const std::filesystem::path& folder) = 0;
  // A sentence on how it began, for the user; empty if there is nothing to say.
  virtual std::string note() const { return {}; }
  // A PNG with samples of the weights as they are now, for the log; empty if there is nothing to see.
  virtual std::string sample_sheet() { return {}; }
  // Figures of the batches since the last call, for the log (expert load, entropy ...).
  virtual std::map<std::string, double> statistics() { return {}; }
};

struct ObjectiveOptions {
  uint64_t seed = 0;
  bool bf16 = true;                      // autocast matrix products to bf16
  std::filesystem::path output = {};     // the run folder
  std::filesystem::path init_from = {};  // exported model folder to go on from; empty for none
};

// Reads `objective.type` ("autoencoder", "joint" or "dit_moe") and the sections that belong to it.
std::unique_ptr<Objective> make_objective(Config& recipe, const ObjectiveOptions& options);

}  // namespace polyphony::pipelines
