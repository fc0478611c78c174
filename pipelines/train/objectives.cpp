// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/objectives.h"

#include <unistd.h>

#include <cmath>

#include "core/check.h"

namespace polyphony::pipelines {

std::unique_ptr<Objective> make_objective(Config& recipe, const ObjectiveOptions& options) {
  const auto type = recipe.section("objective").required_text("type", {"autoencoder", "joint", "dit_moe"});
  if (type == "autoencoder") return make_autoencoder_objective(recipe, options);
  return type == "joint" ? make_joint_objective(recipe, options) : make_dit_moe_objective(recipe, options);
}

std::map<std::string, double> expert_figures(const std::vector<moe::ExpertCounts>& counts) {
  std::map<std::string, double> out;
  for (size_t layer = 0; layer < counts.size(); ++layer) {
    const auto stats = moe::expert_stats(counts[layer]);
    const auto name = "layer" + std::to_string(layer);
    out[name + "/load_variation"] = stats.coefficient_of_variation;
    out[name + "/router_entropy"] = stats.router_entropy;
    out[name + "/dead_experts"] = static_cast<double>(stats.dead_experts.size());
  }
  return out;
}

void check_memory_to_train(double parameters) {
  const double bytes = 20 * parameters;
  const double there = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  check<MemoryError>(bytes < there, "[train] the model has about ", std::llround(bytes / 20e6),
                     " M parameters and needs ", std::llround(bytes / 1e9), " GB to train, this machine has ",
                     std::llround(there / 1e9), " GB");
}

}  // namespace polyphony::pipelines
