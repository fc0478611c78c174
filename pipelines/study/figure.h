// SPDX-License-Identifier: Apache-2.0
// A record as a picture: for each metric of the claims one row an arm, a dot a seed and a line at the mean.
#pragma once
#include <filesystem>
#include <string>

#include "pipelines/study/record.h"

namespace polyphony::pipelines {

// An SVG document, 700 pixels wide. The same record gives the same bytes.
std::string study_figure(const StudyRecord& record);

// FOLDER/<study>.svg, atomically. Throws Error.
void write_figure(const std::filesystem::path& folder, const StudyRecord& record);

}  // namespace polyphony::pipelines
