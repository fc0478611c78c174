// SPDX-License-Identifier: Apache-2.0
// What the experts of a joint model took while it drew and captioned, by modality, denoising step and place.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "moe/expert_stats.h"
#include "pipelines/eval/expert_load.h"
#include "pipelines/joint/model.h"

namespace polyphony::pipelines {

class ExpertRecord {
 public:
  ExpertRecord(const JointConfig& config, int64_t num_steps);

  // One forward pass; `step` is the denoising step that it belongs to, from 0, or nothing for captions.
  void add(const JointOutput& out, std::optional<int64_t> step);

  ExpertLoad by_modality() const;
  ExpertLoad by_step() const;   // latent tokens alone
  ExpertLoad by_place() const;  // cells of the picture, latent and image tokens apart

  // expert_load, expert_steps and expert_places, each as .json and .svg.
  void write(const std::filesystem::path& folder) const;

 private:
  struct Table {
    std::vector<std::string> names;      // of the groups
    std::vector<at::Tensor> rows_L_ME;   // i64 (M, E), one a layer
    std::vector<at::Tensor> tokens_L_M;  // i64 (M), one a layer
  };
  void count(Table& table, const at::Tensor& group_T, const std::vector<moe::Routing>& routings) const;
  ExpertLoad load_of(const Table& table, const char* by) const;

  JointGrid grid_;
  std::vector<std::string> experts_;
  std::vector<moe::ExpertCounts> counts_;
  Table steps_, places_;
};

}  // namespace polyphony::pipelines
