// SPDX-License-Identifier: Apache-2.0
// All studies, a few steps each: every arm runs, measures what the claims name, and is not run twice.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/apps/child.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

namespace fs = std::filesystem;

std::map<std::string, fs::file_time_type> times_of_runs(const fs::path& folder) {
  std::map<std::string, fs::file_time_type> times;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().parent_path() != folder)
      times[entry.path().string()] = entry.last_write_time();
  return times;
}

TEST(StudyQuick, AllStudiesRunAndAreNotRunTwice) {
  const TemporaryFolder folder;
  const std::vector<std::string> words{"study", "all",    "--quick",  "--jobs",
                                       "2",     "--json", "--output", folder.path().string()};
  const auto result = run_child(words);
  ASSERT_EQ(result.code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  const auto listed = nlohmann::json::parse(run_child({"study", "list", "--json"}).out)["studies"];
  EXPECT_EQ(json["studies"].size(), listed.size());
  EXPECT_TRUE(json["failures"].empty());
  for (const auto& study : listed) {
    const auto name = study["name"].get<std::string>();
    EXPECT_TRUE(fs::exists(folder / (name + ".json"))) << name;
    EXPECT_TRUE(fs::exists(folder / (name + ".svg"))) << name;
  }
  const auto before = times_of_runs(folder.path());
  EXPECT_EQ(run_child(words).code, 0);
  EXPECT_EQ(times_of_runs(folder.path()), before);
}

}  // namespace
}  // namespace polyphony::testing
