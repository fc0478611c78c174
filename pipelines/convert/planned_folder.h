// SPDX-License-Identifier: Apache-2.0
// The folder that a conversion makes: there whole or not at all.
#pragma once
#include <filesystem>
#include <string>

namespace polyphony::pipelines {

// A folder beside the final one, removed unless it is published. It is made before anything is read, so that a place
// that cannot be written is told at once. Throws UsageError for a name that is taken, Error with the system's reason.
class PlannedFolder {
 public:
  explicit PlannedFolder(const std::string& output);
  ~PlannedFolder();
  PlannedFolder(const PlannedFolder&) = delete;
  PlannedFolder& operator=(const PlannedFolder&) = delete;

  const std::filesystem::path& temporary() const { return temporary_; }
  void publish() const;

 private:
  std::filesystem::path final_, temporary_;
};

}  // namespace polyphony::pipelines
