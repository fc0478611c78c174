// SPDX-License-Identifier: Apache-2.0
// Where the model that ships is, seen from the running program.
#include <cstdlib>

#include "pipelines/session.h"

namespace polyphony::pipelines {

std::string default_model_folder() {
  if (const char* folder = std::getenv("POLYPHONY_MODEL"); folder && *folder) return folder;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::filesystem::path candidates[] = {
      program / "../../configs/default_model",       // build/bin of a clone
      program / "../share/polyphony/default_model",  // an installed program
  };
  for (const auto& candidate : candidates)
    if (std::filesystem::exists(candidate / "config.json", error)) return candidate.lexically_normal().string();
  return candidates[0].lexically_normal().string();
}

}  // namespace polyphony::pipelines
