// SPDX-License-Identifier: Apache-2.0
#include "pipelines/convert/planned_folder.h"

#include <unistd.h>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;

PlannedFolder::PlannedFolder(const std::string& output) {
  check<UsageError>(!output.empty(), "[output] expected the name of a folder, got none");
  std::error_code absent;
  const bool free = !fs::exists(output, absent) || (fs::is_directory(output, absent) && fs::is_empty(output, absent));
  check<UsageError>(free, "[output] '", printable(output), "' is there already and not empty");
  const auto whole = fs::absolute(output).lexically_normal();
  final_ = whole.has_filename() ? whole : whole.parent_path();
  temporary_ = final_.parent_path() / join(".", final_.filename().string(), ".", ::getpid());
  std::error_code error;
  fs::create_directories(temporary_, error);
  check<Error>(!error, "[output] cannot make the folder '", printable(output), "': ", error.message());
}

PlannedFolder::~PlannedFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void PlannedFolder::publish() const { publish_directory(temporary_, final_); }

}  // namespace polyphony::pipelines
