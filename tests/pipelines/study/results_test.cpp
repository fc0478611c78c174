// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/results.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"
#include "pipelines/study/judge.h"
#include "pipelines/study/run_arm.h"
#include "tests/support/expect_error.h"
#include "tests/support/made_up_study.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

using testing::made_up_record;
using testing::made_up_study;
using testing::TemporaryFolder;

TEST(StudyResults, ARunComesBackAsItWas) {
  const TemporaryFolder folder;
  const auto study = made_up_study();
  const RunKey key{.study = study, .arm = study.arms[1], .seed = 2};
  EXPECT_EQ(ready_run(folder.path(), key), std::nullopt);
  const StudyRunRecord run{
      .arm = "a/b <old>", .seed = 2, .metrics = {{"loss", 0.1}, {"x", 1e-300}}, .seconds = 2.5, .machine = "m"};
  write_run(folder.path(), key, run);
  EXPECT_TRUE(std::filesystem::exists(folder / "made_up/a_b__old_-2.json"));
  const auto back = ready_run(folder.path(), key);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->arm, run.arm);
  EXPECT_EQ(back->seed, run.seed);
  EXPECT_EQ(back->metrics, run.metrics);
  EXPECT_EQ(back->seconds, run.seconds);
  EXPECT_EQ(back->machine, run.machine);
}

TEST(StudyResults, ARunOfOtherSettingsIsNotReady) {
  const TemporaryFolder folder;
  auto study = made_up_study();
  const RunKey key{.study = study, .arm = study.arms[0], .seed = 1};
  write_run(folder.path(), key, {.arm = "new", .seed = 1, .metrics = {{"loss", 1}}, .seconds = 1, .machine = "m"});
  EXPECT_TRUE(ready_run(folder.path(), key).has_value());
  EXPECT_FALSE(ready_run(folder.path(), {.study = study, .arm = study.arms[0], .seed = 1, .quick = true}).has_value());
  study.arms[0].what = "another one";
  EXPECT_FALSE(ready_run(folder.path(), key).has_value());
  study.arms[0].what = "the one";
  study.setting = "Something is trained.";
  EXPECT_FALSE(ready_run(folder.path(), key).has_value());
}

TEST(StudyResults, ACutRunIsRefusedWithItsPath) {
  const TemporaryFolder folder;
  const auto study = made_up_study();
  const RunKey key{.study = study, .arm = study.arms[0], .seed = 1};
  write_run(folder.path(), key, {.arm = "new", .seed = 1, .metrics = {{"loss", 1}}, .seconds = 1, .machine = "m"});
  const auto file = run_file(folder.path(), key);
  const auto whole = read_file(file, 1u << 20);
  for (const size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 3}) {
    std::ofstream(file, std::ios::binary) << whole.substr(0, size);
    EXPECT_REFUSED(DataError, ready_run(folder.path(), key), file.c_str());
  }
  std::ofstream(file, std::ios::binary) << R"({"schema": "polyphony.study_run/1", "study": "made_up"})";
  EXPECT_REFUSED(DataError, ready_run(folder.path(), key), file.c_str(), "'setting' is missing");
}

TEST(StudyResults, ARecordComesBackWithoutItsVerdicts) {
  const TemporaryFolder folder;
  const auto record = made_up_record();
  write_record(folder.path(), record);
  const auto back = read_record(record_file(folder.path(), "made_up"));
  EXPECT_EQ(to_object(back), to_object(record));
  const auto json = to_object(record);
  EXPECT_TRUE(json["claims"][0]["verdict"]["holds"].get<bool>());
  EXPECT_FALSE(json["claims"][1]["verdict"]["holds"].get<bool>());
  EXPECT_EQ(json["command"], "polyphony study run made_up");
  EXPECT_EQ(json["seconds"], 6.0);
}

TEST(StudyResults, AVerdictInTheFileIsNotBelieved) {
  const TemporaryFolder folder;
  auto json = to_object(made_up_record());
  json["claims"][1]["verdict"]["holds"] = true;
  std::ofstream(folder / "made_up.json") << json.dump();
  const auto back = read_record(folder / "made_up.json");
  EXPECT_FALSE(judge(back.study.claims[1], back.runs).holds);
}

TEST(StudyResults, ARecordIsRefusedWithItsPath) {
  const TemporaryFolder folder;
  const auto refuse = [&](const nlohmann::json& json, const char* why) {
    std::ofstream(folder / "made_up.json") << json.dump();
    EXPECT_REFUSED(DataError, read_record(folder / "made_up.json"), "made_up.json", why);
  };
  const auto good = to_object(made_up_record());
  auto bad = good;
  bad["schema"] = "polyphony.study/9";
  refuse(bad, "polyphony.study/1");
  bad = good;
  bad["runs"] = 3;
  refuse(bad, "'runs' must be a list");
  bad = good;
  bad["runs"][0]["metrics"]["loss"] = "low";
  refuse(bad, "'loss' must be a number");
  bad = good;
  bad["surprise"] = 1;
  refuse(bad, "surprise");
}

TEST(StudyResults, AQuickRecordHasNoVerdicts) {
  auto record = made_up_record();
  record.quick = true;
  const auto json = to_object(record);
  EXPECT_FALSE(json["claims"][0].contains("verdict"));
  EXPECT_EQ(json["command"], "polyphony study run made_up --quick");
}

TEST(RunArm, MeasuresAndRefusesWhatIsNotFinite) {
  auto study = made_up_study();
  const auto run = run_arm({.study = study, .arm = arm_named(study, "new"), .seed = 2});
  EXPECT_EQ(run.metrics, (StudyMetrics{{"loss", 1.2}}));
  EXPECT_EQ(run.seed, 2u);
  EXPECT_NE(run.machine.find("one thread"), std::string::npos);
  study.arms[0].run = [](const StudyRun&) -> StudyMetrics { return {{"loss", 0.0 / 0.0}}; };
  EXPECT_REFUSED(NonFiniteError, run_arm({.study = study, .arm = study.arms[0], .seed = 1}), "made_up", "'new'",
                 "'loss'");
  EXPECT_REFUSED(ConfigError, arm_named(study, "nwe"), "made_up", "did you mean 'new'");
}

}  // namespace
}  // namespace polyphony::pipelines
