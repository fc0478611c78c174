// SPDX-License-Identifier: Apache-2.0
// polyphony study: words, exit codes, and Ctrl-C.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/progress.h"
#include "tests/apps/child.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> words;
  const char* says;
};

class StudyWords : public ::testing::TestWithParam<Case> {};

TEST_P(StudyWords, AreRefusedAsUsage) {
  auto words = GetParam().words;
  words.insert(words.begin(), "study");
  const auto result = run_child(words);
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(GetParam().says), std::string::npos) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    All, StudyWords,
    ::testing::Values(
        Case{"NoAction", {}, "ACTION"}, Case{"UnknownAction", {"rnu"}, "one of list, run, all, page"},
        Case{"NoName", {"run"}, "needs the NAME of a study"},
        Case{"UnknownStudy", {"run", "fine_graned"}, "did you mean 'fine_grained'"},
        Case{"NameWithoutUse", {"all", "fine_grained"}, "did not expect 'fine_grained'"},
        Case{"JobsZero", {"all", "--jobs", "0"}, "from 1 to 256"},
        Case{"PageOfQuickRuns", {"page", "--quick"}, "quick runs are none"},
        Case{"ArmWithoutSeed", {"run", "fine_grained", "--arm", "x"}, "--arm needs --seed"},
        Case{"UnknownArm", {"run", "fine_grained", "--arm", "x", "--seed", "1", "--output", "y"}, "has no arm 'x'"}),
    [](const auto& test) { return test.param.name; });

TEST(StudyCli, ListsEveryStudy) {
  const auto lines = run_child({"study", "list"});
  EXPECT_EQ(lines.code, 0) << lines.err;
  const auto result = run_child({"study", "list", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  const auto studies = nlohmann::json::parse(result.out)["studies"];
  EXPECT_GT(studies.size(), 5u);
  for (const auto& study : studies)
    EXPECT_NE(lines.out.find(study["name"].get<std::string>() + ": "), std::string::npos);
}

TEST(StudyCli, HidesTheFlagsOfItsChildren) {
  EXPECT_EQ(run_child({"study", "--help"}).out.find("--arm"), std::string::npos);
  EXPECT_EQ(run_child({"completion", "bash"}).out.find("--arm"), std::string::npos);
}

TEST(StudyCli, AFolderWithoutEvidenceGivesAPageThatSaysSo) {
  const TemporaryFolder folder;
  const auto result = run_child({"study", "page", "--output", (folder / "evidence").string()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, (folder / "evidence.md").string() + "\n");
  EXPECT_TRUE(std::filesystem::exists(folder / "evidence.md"));
}

TEST(StudyCli, CtrlCStopsItAndItsChildrenSoon) {
  const TemporaryFolder folder;
  ChildOptions options;
  options.kill_signal = SIGINT;
  options.kill_after_ms = 3000;
  const double start = monotonic_seconds();
  const auto result = run_child({"study", "run", "fine_grained", "--output", (folder / "out").string()}, options);
  EXPECT_EQ(result.code, 130) << result.err;
  EXPECT_LT(monotonic_seconds() - start, 8);
  EXPECT_FALSE(std::filesystem::exists(folder / "out/fine_grained.json"));
}

}  // namespace
}  // namespace polyphony::testing
