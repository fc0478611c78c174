// SPDX-License-Identifier: Apache-2.0
// scheduler_config.json of a diffusers folder: which mode a DiT-MoE was trained in.
#pragma once
#include <filesystem>
#include <string>

#include "pipelines/dit_moe/config.h"

namespace polyphony::pipelines {

struct ReadScheduler {
  DitMoeMode mode;
  std::string class_name;
};
// Throws DataError for a class that is not known and for a noise schedule or prediction that no DiT-MoE was trained
// with: its samplers hold to linear betas from 1e-4 to 0.02 over 1000 steps and predict the noise.
ReadScheduler read_scheduler(const std::filesystem::path& file);

// What a folder of ours stores: the class, and the file.
std::string scheduler_name(DitMoeMode mode);
std::string scheduler_json(DitMoeMode mode);

}  // namespace polyphony::pipelines
