// SPDX-License-Identifier: Apache-2.0
// The page of evidence: what was claimed, run and seen, from the records alone.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/study/record.h"

namespace polyphony::pipelines {

// All FOLDER/*.json, by name. Throws DataError for one that is no record.
std::vector<StudyRecord> read_evidence(const std::filesystem::path& folder);

// Markdown; figures are linked as <figures>/<study>.svg.
std::string evidence_page(const std::vector<StudyRecord>& records, const std::string& figures);

// FOLDER.md beside FOLDER, and every figure anew. Returns the page's path. Throws as read_evidence; DataError for a
// record of a quick run, which is no evidence.
std::filesystem::path write_evidence_page(const std::filesystem::path& folder);

}  // namespace polyphony::pipelines
