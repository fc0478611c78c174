// SPDX-License-Identifier: Apache-2.0
// The runner with scripts in place of the program.
#include "pipelines/study/runner.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/base/files.h"
#include "core/base/progress.h"
#include "core/error.h"
#include "pipelines/study/child_process.h"
#include "tests/support/expect_error.h"
#include "tests/support/made_up_study.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;
using testing::made_up_record;
using testing::made_up_study;
using testing::TemporaryFolder;

void write_runs(const fs::path& folder, const Study& study, const std::vector<StudyRunRecord>& runs) {
  for (const auto& run : runs) {
    const auto& arm = run.arm == study.arms[0].name ? study.arms[0] : study.arms[1];
    write_run(folder, {.study = study, .arm = arm, .seed = run.seed}, run);
  }
}

fs::path script(const TemporaryFolder& folder, const std::string& lines) {
  const auto file = folder / "program";
  std::ofstream(file) << "#!/bin/sh\n" << lines;
  fs::permissions(file, fs::perms::owner_all);
  return file;
}

TEST(StudyRunner, WhatIsThereIsNotRunAgain) {
  const TemporaryFolder folder;
  const auto record = made_up_record();
  write_runs(folder / "out", record.study, record.runs);
  std::vector<StudyEvent> events;
  const auto outcome =
      run_studies({.studies = {record.study}, .folder = folder / "out", .program = script(folder, "exit 9\n")},
                  [&](const StudyEvent& event) { events.push_back(event); });
  EXPECT_TRUE(outcome.failures.empty());
  ASSERT_EQ(outcome.records.size(), 1u);
  EXPECT_EQ(outcome.records[0].runs.size(), 4u);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].done, 4);
  EXPECT_EQ(events[0].total, 4);
  EXPECT_TRUE(fs::exists(folder / "out/made_up.json"));
  EXPECT_TRUE(fs::exists(folder / "out/made_up.svg"));
}

TEST(StudyRunner, RunsWhatIsMissingWithTheArgumentsOfAChild) {
  const TemporaryFolder folder;
  const auto record = made_up_record();
  write_runs(folder / "later", record.study, record.runs);
  write_runs(folder / "out", record.study, {record.runs[0], record.runs[1], record.runs[3]});
  const auto calls = (folder / "calls").string();
  const auto program =
      script(folder, "echo \"$@\" >> " + calls + "\ncp " + (folder / "later/made_up/new-2.json").string() + " " +
                         (folder / "out/made_up/").string() + "\n");
  const auto outcome = run_studies({.studies = {record.study}, .folder = folder / "out", .program = program, .jobs = 2},
                                   [](const StudyEvent&) {});
  EXPECT_TRUE(outcome.failures.empty());
  EXPECT_EQ(outcome.records.size(), 1u);
  EXPECT_EQ(read_file(calls, 4096),
            "study run made_up --arm new --seed 2 --output " + (folder / "out").string() + "\n");
  EXPECT_FALSE(fs::exists(folder / "out/made_up/new-2.log"));
}

TEST(StudyRunner, AFailedRunCostsItsStudyAndSaysWhy) {
  const TemporaryFolder folder;
  auto good = made_up_record();
  good.study.name = "good";
  write_runs(folder / "out", good.study, good.runs);
  const auto bad = made_up_study();
  const auto outcome = run_studies(
      {.studies = {bad, good.study}, .folder = folder / "out", .program = script(folder, "echo broken >&2; exit 3\n")},
      [](const StudyEvent&) {});
  ASSERT_EQ(outcome.records.size(), 1u);
  EXPECT_EQ(outcome.records[0].study.name, "good");
  ASSERT_EQ(outcome.failures.size(), 4u);
  EXPECT_EQ(outcome.failures[0], "made_up, arm 'new', seed 1: exit code 3, broken");
  EXPECT_FALSE(fs::exists(folder / "out/made_up.json"));
}

TEST(StudyRunner, AChildThatLeavesNoResultHasFailed) {
  const TemporaryFolder folder;
  const auto outcome =
      run_studies({.studies = {made_up_study()}, .folder = folder / "out", .program = script(folder, "exit 0\n")},
                  [](const StudyEvent&) {});
  EXPECT_EQ(outcome.failures.size(), 4u);
  EXPECT_TRUE(outcome.records.empty());
}

TEST(StudyRunner, QuickIsOneSeed) {
  const TemporaryFolder folder;
  const auto calls = (folder / "calls").string();
  const auto outcome = run_studies({.studies = {made_up_study()},
                                    .folder = folder / "out",
                                    .program = script(folder, "echo \"$@\" >> " + calls + "\n"),
                                    .quick = true},
                                   [](const StudyEvent&) {});
  EXPECT_EQ(outcome.failures.size(), 2u);
  const auto text = read_file(calls, 4096);
  EXPECT_NE(text.find("--arm new --seed 1 --output"), std::string::npos);
  EXPECT_NE(text.find("--quick"), std::string::npos);
  EXPECT_EQ(text.find("--seed 2"), std::string::npos);
}

TEST(StudyRunner, AProgramThatIsNotThereIsAnError) {
  const TemporaryFolder folder;
  EXPECT_REFUSED(Error,
                 run_studies({.studies = {made_up_study()}, .folder = folder / "out", .program = folder / "nothing"},
                             [](const StudyEvent&) {}),
                 "cannot start", "nothing");
}

TEST(ChildProcess, IsNeverLeftBehind) {
  const TemporaryFolder folder;
  const double start = monotonic_seconds();
  {
    ChildProcess polite({.program = "/bin/sleep", .arguments = {"60"}, .log = folder / "log"});
    ChildProcess deaf(
        {.program = "/bin/sh", .arguments = {"-c", "trap '' TERM; exec sleep 60"}, .log = folder / "log"});
    EXPECT_EQ(polite.exit_code(), std::nullopt);
  }
  EXPECT_LT(monotonic_seconds() - start, 5);
}

TEST(ChildProcess, TellsExitCodesAndSignals) {
  const TemporaryFolder folder;
  const auto code_of = [&](const std::string& line) {
    ChildProcess child({.program = "/bin/sh", .arguments = {"-c", line}, .log = folder / "log"});
    while (!child.exit_code()) continue;
    return *child.exit_code();
  };
  EXPECT_EQ(code_of("exit 6"), 6);
  EXPECT_EQ(code_of("kill -9 $$"), 137);
  code_of("echo said >&2");
  EXPECT_EQ(read_file(folder / "log", 100), "said\n");
}

}  // namespace
}  // namespace polyphony::pipelines
