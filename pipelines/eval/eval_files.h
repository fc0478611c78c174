// SPDX-License-Identifier: Apache-2.0
// What an evaluation leaves in a folder for a person to look at.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/data/scenes/metrics.h"

namespace polyphony::pipelines {

// A scene whose picture the judge found wrong.
struct DrawingFailure {
  int64_t index = 0;  // of the scene in the evaluation
  std::string prompt = {};
  std::vector<std::string> why = {};
  at::Tensor drawn_HWC = {}, truth_HWC = {};  // u8
};

struct EvalSamples {
  at::Tensor drawn_BHWC = {};  // u8, the first pictures
  std::vector<std::string> prompts = {};
  std::vector<DrawingFailure> failures = {};  // the first ones
  scenes::SceneMetrics pictures = {}, captions = {}, autoencoder = {};
};

inline constexpr int64_t kMaxSamples = 64, kMaxFailures = 20;

// sheet.png (pictures enlarged four times, pixel by pixel), prompts.txt; failures.png (pairs: the truth, then what was
// drawn, enlarged twice), failures.txt (prompt and reasons of each); metrics.json: shares by colour, shape, place and
// number of objects, of pictures, captions and the autoencoder alone (the true pictures encoded and decoded).
void write_eval_samples(const EvalSamples& samples, const std::filesystem::path& folder);

}  // namespace polyphony::pipelines
