// SPDX-License-Identifier: Apache-2.0
// Memory, disk, folders, and the model that ships.
#include "pipelines/doctor/system_checks.h"

#include <filesystem>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/base/text.h"
#include "pipelines/inspect/inspect.h"
#include "pipelines/session.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kEnoughMemory = uint64_t{2} << 30;
constexpr uint64_t kEnoughDisk = uint64_t{1} << 30;

}  // namespace

Finding check_memory() {
  const auto bytes = available_memory();
  const auto message = human_bytes(bytes) + " of memory are free";
  if (bytes >= kEnoughMemory) return {Verdict::ok, "memory", message, ""};
  return {Verdict::warn, "memory", message, "close other programs; the shipped model needs under 1 GiB, training more"};
}

Finding check_disk() {
  std::error_code error;
  const auto space = fs::space(".", error);
  if (error) return {Verdict::warn, "disk", "cannot tell the free space: " + error.message(), ""};
  const auto message = human_bytes(space.available) + " are free in the current folder's file system";
  if (space.available >= kEnoughDisk) return {Verdict::ok, "disk", message, ""};
  return {Verdict::warn, "disk", message, "free some space before training"};
}

Finding check_temporary_folder() {
  try {
    const auto folder = fs::temp_directory_path();
    const AtomicFile probe(folder / "polyphony-doctor");
    return {Verdict::ok, "temporary folder", folder.string() + " is writable", ""};
  } catch (const std::exception& error) {
    return {Verdict::fail, "temporary folder", error.what(), "set TMPDIR to a folder that is writable"};
  }
}

Finding check_model(const std::string& folder) {
  const auto path = folder.empty() ? default_model_folder() : folder;
  try {
    const auto found = inspect(path);
    if (found.non_finite > 0) return {Verdict::fail, "model", path + " holds NaN or infinity", "fetch the model again"};
    return {Verdict::ok, "model",
            found.architecture + " with " + human_count(static_cast<double>(found.parameters_total)) +
                " parameters, every byte checked, in " + path,
            ""};
  } catch (const std::exception& error) {
    return {Verdict::fail, "model", error.what(), "set POLYPHONY_MODEL or use --model with a model folder"};
  }
}

}  // namespace polyphony::pipelines
