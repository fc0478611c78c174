// SPDX-License-Identifier: Apache-2.0
// Runs and studies as JSON files: a run's own file lets a stopped study go on, a study's file is the evidence.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/study/record.h"

namespace polyphony::pipelines {

struct RunKey {
  const Study& study;
  const StudyArm& arm;
  uint64_t seed = 0;
  bool quick = false;
};

// FOLDER/<study>/<arm>-<seed>.json; what is no letter, digit, point or minus in the arm's name is an underscore.
std::filesystem::path run_file(const std::filesystem::path& folder, const RunKey& key);

// Atomically; makes the folder. Throws Error.
void write_run(const std::filesystem::path& folder, const RunKey& key, const StudyRunRecord& run);
// Nothing if there is no file, or it is of other settings (texts of study and arm, quick or not) than the key's.
// Throws DataError naming the file if it is damaged.
std::optional<StudyRunRecord> ready_run(const std::filesystem::path& folder, const RunKey& key);

// FOLDER/<study>.json: schema "polyphony.study/1", with the verdict of each claim unless the record is quick.
std::filesystem::path record_file(const std::filesystem::path& folder, const std::string& study);
nlohmann::json to_object(const StudyRecord& record);
void write_record(const std::filesystem::path& folder, const StudyRecord& record);
// Throws DataError naming the file if it is not such a record. Verdicts are not read: they follow from the runs.
StudyRecord read_record(const std::filesystem::path& file);

}  // namespace polyphony::pipelines
