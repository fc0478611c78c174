// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/files.h"
#include "core/check.h"
#include "core/tensor_io.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr std::array<const char*, 3> kFiles = {"weights.safetensors", "optimizer.safetensors", "state.json"};
constexpr const char* kManifest = "manifest.json";

// N of a folder named step-N; nothing for any other name.
std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with("step-")) return std::nullopt;
  int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return step;
}

// Newest first. Ordered by step, not by time: clocks go backwards.
std::vector<fs::path> checkpoint_folders(const fs::path& root) {
  std::vector<fs::path> folders;
  if (!fs::is_directory(root)) return folders;
  for (const auto& entry : fs::directory_iterator(root))
    if (entry.is_directory() && step_of(entry.path())) folders.push_back(entry.path());
  std::ranges::sort(folders, [](const auto& a, const auto& b) { return *step_of(a) > *step_of(b); });
  return folders;
}

void check_manifest(const fs::path& folder) {
  const auto path = folder / kManifest;
  const auto manifest = nlohmann::json::parse(read_file(path, 1 << 20), nullptr, /*allow_exceptions=*/false);
  check<DataError>(manifest.is_object() && manifest.contains("files") && manifest["files"].is_object(), "[checkpoint] ",
                   path.string(), " is not a manifest");
  check<DataError>(manifest.contains("format") && manifest["format"] == 1, "[checkpoint] ", path.string(),
                   " has a format that this version does not know");
  for (const auto* file : kFiles) {
    check<DataError>(manifest["files"].contains(file) && manifest["files"][file].is_object(), "[checkpoint] ",
                     path.string(), " does not list ", file);
    const auto& entry = manifest["files"][file];
    std::error_code missing;
    const auto size = fs::file_size(folder / file, missing);
    check<DataError>(!missing, "[checkpoint] ", (folder / file).string(), " is missing");
    check<DataError>(entry.contains("bytes") && entry.contains("sha256") && entry["sha256"].is_string(),
                     "[checkpoint] ", path.string(), " must give bytes and sha256 of ", file);
    check<DataError>(entry["bytes"] == size, "[checkpoint] ", (folder / file).string(), " must have ",
                     entry["bytes"].dump(), " bytes, got ", size);
    check_sha256(folder / file, entry["sha256"].get<std::string>());
  }
}

}  // namespace

fs::path save_checkpoint(const fs::path& root, const Checkpoint& checkpoint, int64_t keep) {
  for (const auto& [name, tensor] : checkpoint.weights)
    check<NonFiniteError>(!tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>(),
                          "[checkpoint] weights '", name, "' are not finite at step ", checkpoint.step, ": not saved");
  const auto name = "step-" + std::to_string(checkpoint.step);
  const auto final_folder = root / name;
  const auto temporary = root / (name + ".tmp");
  fs::remove_all(temporary);
  fs::create_directories(temporary);
  try {
    save_tensors(temporary / kFiles[0], checkpoint.weights, {});
    save_tensors(temporary / kFiles[1], checkpoint.optimizer, {});
    write_file_atomic(temporary / kFiles[2], checkpoint.state_json);
    nlohmann::json manifest = {{"format", 1}, {"step", checkpoint.step}, {"files", nlohmann::json::object()}};
    for (const auto* file : kFiles)
      manifest["files"][file] = {{"bytes", fs::file_size(temporary / file)}, {"sha256", sha256_file(temporary / file)}};
    write_file_atomic(temporary / kManifest, manifest.dump(2) + "\n");
    fs::remove_all(final_folder);  // a damaged one of the same step, from before a resume
    publish_directory(temporary, final_folder);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  // Only now, with the new one durable, may older ones go.
  const auto folders = checkpoint_folders(root);
  for (size_t i = static_cast<size_t>(std::max<int64_t>(keep, 1)); i < folders.size(); ++i) fs::remove_all(folders[i]);
  return final_folder;
}

Checkpoint load_checkpoint(const fs::path& folder) {
  check<DataError>(fs::is_directory(folder), "[checkpoint] there is no folder ", folder.string());
  check_manifest(folder);
  Checkpoint out;
  out.weights = load_tensors(folder / kFiles[0]);
  out.optimizer = load_tensors(folder / kFiles[1]);
  out.state_json = read_file(folder / kFiles[2], 1 << 20);
  const auto step = step_of(folder);
  check<DataError>(step.has_value(), "[checkpoint] ", folder.string(), " is not named step-N");
  out.step = *step;
  return out;
}

std::optional<fs::path> newest_checkpoint(const fs::path& root, std::string* warnings) {
  for (const auto& folder : checkpoint_folders(root)) {
    try {
      check_manifest(folder);
      return folder;
    } catch (const DataError& error) {
      if (warnings) *warnings += join("passing over ", folder.string(), ": ", error.what(), "\n");
    }
  }
  return std::nullopt;
}

}  // namespace polyphony::pipelines
