// SPDX-License-Identifier: Apache-2.0
#include "pipelines/batch/batch.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "tests/support/fake_session.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;
using polyphony::testing::FakeBehaviour;
using polyphony::testing::FakeSession;

class Batch : public ::testing::Test {
 protected:
  void write_jobs(const std::vector<std::string>& lines) {
    std::ofstream file(root_ / "jobs.jsonl");
    for (const auto& line : lines) file << line << "\n";
  }
  // Ten requests; the fourth is bad.
  void write_ten_jobs(const std::string& fourth) {
    std::vector<std::string> lines;
    for (int i = 1; i <= 10; ++i)
      lines.push_back(i == 4 ? fourth : R"({"prompt": "x", "seed": )" + std::to_string(i) + "}");
    write_jobs(lines);
  }
  BatchOptions options(bool resume = false) const {
    BatchOptions out;
    out.jobs = (root_ / "jobs.jsonl").string();
    out.output = (root_ / "out").string();
    out.resume = resume;
    return out;
  }
  BatchReport run(const BatchOptions& batch) {
    return run_batch(
        batch, [&] { return std::make_unique<FakeSession>(behaviour_); },
        [&](const BatchItem& item) { items_.push_back(item); },
        [&](const Progress&) { return behaviour_->calls < stop_after_; });
  }
  std::vector<nlohmann::json> results() const {
    std::vector<nlohmann::json> out;
    std::ifstream file(root_ / "out" / "results.jsonl");
    for (std::string line; std::getline(file, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }

  polyphony::testing::TemporaryFolder root_;
  std::shared_ptr<FakeBehaviour> behaviour_ = std::make_shared<FakeBehaviour>();
  std::vector<BatchItem> items_;
  int stop_after_ = 1000;
};

TEST_F(Batch, PassesOverABadLineAndResumesOnlyThatOne) {
  write_ten_jobs(R"({"promt": "x"})");
  const auto first = run(options());
  EXPECT_EQ(first.done, 9);
  EXPECT_EQ(first.failed, 1);
  ASSERT_EQ(results().size(), 10u);
  EXPECT_EQ(results()[3]["state"], "failed");
  EXPECT_EQ(results()[3]["line"], 4);
  EXPECT_EQ(results()[4]["result"]["pictures"][0]["file"], "item-5.png");
  EXPECT_TRUE(fs::exists(root_ / "out" / "item-10.png"));

  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  behaviour_->calls = 0;
  const auto second = run(options(true));
  EXPECT_EQ(second.done, 1);
  EXPECT_EQ(second.skipped, 9);
  EXPECT_EQ(behaviour_->calls, 1);
  ASSERT_EQ(results().size(), 10u);
  EXPECT_EQ(results()[3]["state"], "done");
}

TEST_F(Batch, RecordsWhatTheSessionThrowsAndGoesOn) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  behaviour_->on_generate = [this] {
    if (behaviour_->calls == 2) throw MemoryError("[memory] too little");
  };
  EXPECT_EQ(run(options()).failed, 1);
  EXPECT_EQ(results()[1]["error"]["code"], "memory");
}

TEST_F(Batch, StopsAndGoesOnWithoutAPictureLessOrMore) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  stop_after_ = 4;
  const auto first = run(options());
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.done, 3);
  stop_after_ = 1000;
  const auto second = run(options(true));
  EXPECT_EQ(second.skipped, 3);
  EXPECT_EQ(second.done, 7);
  EXPECT_EQ(results().size(), 10u);
}

TEST_F(Batch, SurvivesAKillInTheMiddleOfAnItem) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  const pid_t child = ::fork();
  if (child == 0) {
    behaviour_->on_generate = [this] {
      if (behaviour_->calls == 6) ::kill(::getpid(), SIGKILL);
    };
    run(options());
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  // As if the kill had come while a journal line was being written, and a picture had no line yet.
  std::ofstream(root_ / "out" / ".polyphony-batch.jsonl", std::ios::app) << R"({"id":"item-6","dig)";
  std::ofstream(root_ / "out" / "item-6.png") << "half";
  const auto report = run(options(true));
  EXPECT_EQ(report.skipped, 5);
  EXPECT_EQ(report.done, 5);
  EXPECT_EQ(results().size(), 10u);
  EXPECT_EQ(request_from_picture((root_ / "out" / "item-6.png").string()).seed, 6u);
}

TEST_F(Batch, DrawsAgainWhatWasChangedOrDamaged) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  run(options());
  std::ofstream(root_ / "out" / "item-2.png") << "damaged";
  write_ten_jobs(R"({"prompt": "another", "seed": 4})");
  EXPECT_EQ(run(options(true)).done, 2);
}

TEST_F(Batch, ASecondOneInTheFolderIsRefusedNamingTheFirst) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  std::string message;
  behaviour_->on_generate = [&] {
    if (!message.empty()) return;
    try {
      run_batch(options(true), nullptr, nullptr, nullptr);
    } catch (const Error& error) {
      message = error.what();
    }
  };
  run(options());
  EXPECT_NE(message.find("in use by process " + std::to_string(::getpid())), std::string::npos) << message;
}

TEST_F(Batch, RefusesAFolderThatIsNotEmptyBeforeAModelIsOpened) {
  write_ten_jobs(R"({"prompt": "x", "seed": 4})");
  EXPECT_THROW(run(options(true)), UsageError);
  fs::create_directories(root_ / "out");
  std::ofstream(root_ / "out" / "mine.txt") << "x";
  EXPECT_THROW(run(options()), UsageError);
  EXPECT_EQ(behaviour_->calls, 0);
  auto anew = options();
  anew.overwrite = true;
  EXPECT_EQ(run(anew).done, 10);
  EXPECT_TRUE(fs::exists(root_ / "out" / "mine.txt"));
}

TEST_F(Batch, TakesIdsAsNamesButNeverAsPaths) {
  write_jobs({R"({"id": "red", "prompt": "x", "count": 2})", R"({"id": "../up", "prompt": "x"})",
              R"({"id": "red", "prompt": "x"})", R"({"id": 7, "file": "a.png"})", "", "not json"});
  const auto report = run(options());
  EXPECT_EQ(report.total, 5);
  EXPECT_EQ(report.done, 2);
  EXPECT_EQ(report.failed, 3);
  EXPECT_TRUE(fs::exists(root_ / "out" / "red-1.png"));
  EXPECT_TRUE(fs::exists(root_ / "out" / "red-2.png"));
  EXPECT_EQ(results()[3]["result"]["caption"], behaviour_->caption_text);
  EXPECT_FALSE(fs::exists(root_ / "up.png"));
}

TEST_F(Batch, StopsAfterTooManyFailures) {
  write_jobs({"a", "b", "c", R"({"prompt": "x"})"});
  auto few = options();
  few.max_failures = 2;
  const auto report = run(few);
  EXPECT_TRUE(report.stopped);
  EXPECT_EQ(report.failed, 2);
}

TEST_F(Batch, WithoutARequestIsRefused) {
  write_jobs({"", " "});
  EXPECT_THROW(run(options()), DataError);
  fs::remove(root_ / "jobs.jsonl");
  EXPECT_THROW(run(options()), DataError);
}

}  // namespace
}  // namespace polyphony::pipelines
