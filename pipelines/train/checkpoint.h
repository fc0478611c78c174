// SPDX-License-Identifier: Apache-2.0
// Checkpoints: a folder step-N that is there whole or not at all, with a manifest of sizes and hashes written last.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace polyphony::pipelines {

struct Checkpoint {
  int64_t step = 0;                                  // optimiser steps done
  std::map<std::string, at::Tensor> weights = {};    // parameters and buffers
  std::map<std::string, at::Tensor> optimizer = {};  // Optimizer::state()
  std::string state_json = {};                       // counters, recipe hash, versions
};

// Writes root/step-N atomically (a .tmp folder, fsync, rename), then removes all but the newest `keep` (at least 1).
// Throws Error on a failed write; the older checkpoints stay. Non-finite weights are refused with NonFiniteError.
std::filesystem::path save_checkpoint(const std::filesystem::path& root, const Checkpoint& checkpoint, int64_t keep);

// Reads one folder, checking every file against the manifest. Throws DataError naming file and reason.
Checkpoint load_checkpoint(const std::filesystem::path& folder);

// The newest folder under root whose manifest holds; damaged ones are passed over with a warning in `warnings`.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& root,
                                                       std::string* warnings = nullptr);

}  // namespace polyphony::pipelines
