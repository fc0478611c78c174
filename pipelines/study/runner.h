// SPDX-License-Identifier: Apache-2.0
// Runs studies: every run a child process on one thread, several at a time, nothing twice.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pipelines/study/results.h"

namespace polyphony::pipelines {

struct StudyPlan {
  std::vector<Study> studies = {};
  std::filesystem::path folder;   // for the files of results.h
  std::filesystem::path program;  // gets "study run NAME --arm A --seed S --output FOLDER [--quick]"
  bool quick = false;             // seed 1 only, a few steps
  int64_t jobs = 1;               // children at a time
};

// A run has ended, or the first were found to be there (then without names).
struct StudyEvent {
  int64_t done = 0;  // runs, of `total`
  int64_t total = 0;
  std::string study = {};
  std::string arm = {};
  uint64_t seed = 0;
  std::string failure = {};  // why it measured nothing; empty if all is well
};
using OnStudyEvent = std::function<void(const StudyEvent&)>;

struct StudyOutcome {
  std::vector<StudyRecord> records = {};   // of the studies whose runs are all there; their files are written
  std::vector<std::string> failures = {};  // one line a failed run
};

// Runs that are there are not run again. A failed run costs its study, not the others. Throws CancelledError when a
// signal has come, with no child left behind and what is done kept; DataError for a damaged file of an earlier run.
StudyOutcome run_studies(const StudyPlan& plan, const OnStudyEvent& on_event);

}  // namespace polyphony::pipelines
