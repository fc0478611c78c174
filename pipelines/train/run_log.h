// SPDX-License-Identifier: Apache-2.0
// What a run leaves behind to look at: metrics.jsonl, TensorBoard event files, and pictures under samples/.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace polyphony::pipelines {

class RunLog {
 public:
  // Appends to what the folder holds; lines after `first_step` (of a run that was cut off) are dropped from
  // metrics.jsonl.
  RunLog(const std::filesystem::path& folder, int64_t first_step);
  ~RunLog();
  void scalars(int64_t step, const std::map<std::string, double>& values);
  void picture(int64_t step, const std::string& name, const std::string& png);

 private:
  struct Files;
  std::filesystem::path folder_;
  std::unique_ptr<Files> files_;
};

}  // namespace polyphony::pipelines
