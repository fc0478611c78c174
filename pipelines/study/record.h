// SPDX-License-Identifier: Apache-2.0
// What the runs of a study measured, and the figures that are read from them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "pipelines/study/study.h"

namespace polyphony::pipelines {

struct StudyRunRecord {
  std::string arm;
  uint64_t seed = 0;
  StudyMetrics metrics = {};
  double seconds = 0;   // of one thread, building the model included
  std::string machine;  // processor and its level of vector instructions
};

// A study with all its runs. One that was read from a file has arms that cannot be run.
struct StudyRecord {
  Study study = {};
  bool quick = false;  // of too few steps to be evidence of anything
  std::vector<StudyRunRecord> runs = {};
};

// The metric of an arm by seed. Throws DataError naming the run that did not measure it, or the arm without runs.
std::map<uint64_t, double> values_of(const std::vector<StudyRunRecord>& runs, const std::string& arm,
                                     const std::string& metric);

struct MeanAndSpread {
  double mean = 0;
  double spread = 0;  // standard deviation over the seeds (n - 1); 0 for one seed
};
MeanAndSpread mean_and_spread(const std::map<uint64_t, double>& values);

// Metrics that say something about the claims: those of the claims, then loss and active size where they were measured.
std::vector<std::string> shown_metrics(const StudyRecord& record);

// How people call a metric, with its unit.
std::string metric_label(const std::string& metric);
// Four digits that count; whole numbers from 1,000 up.
std::string short_number(double value);

// The command that makes the record.
std::string command_of(const StudyRecord& record);
double total_seconds(const StudyRecord& record);
// The machines of the runs, each once.
std::vector<std::string> machines_of(const StudyRecord& record);

}  // namespace polyphony::pipelines
