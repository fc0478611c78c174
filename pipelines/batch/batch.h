// SPDX-License-Identifier: Apache-2.0
// Many requests from one file: each answered, recorded and passed over if it is bad; a stopped batch can be resumed.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "pipelines/session.h"

namespace polyphony::pipelines {

inline constexpr std::string_view kBatchSchema = "polyphony.batch/1";

struct BatchOptions {
  std::string jobs;          // JSONL: one request a line, with an optional "id" that names its output
  std::string output;        // folder; made if it is not there
  bool resume = false;       // go on with what the folder's journal does not call done
  bool overwrite = false;    // start anew in a folder that is not empty
  int64_t max_failures = 0;  // stop after so many failed items; 0: never
};

enum class ItemState { done, failed, skipped };  // skipped: done by an earlier run

struct BatchItem {
  int64_t line = 0;  // in the jobs file, from 1
  std::string id;
  ItemState state = ItemState::failed;
  std::string result_json;  // one line of results.jsonl
};

struct BatchReport {
  int64_t total = 0;
  int64_t done = 0;
  int64_t failed = 0;
  int64_t skipped = 0;
  bool stopped = false;  // by on_progress or max_failures, before the last item
  double seconds = 0;
  std::string results;  // path of results.jsonl
};

// Called once, and only if some item needs it, after the output folder has been checked and locked.
using OpenSession = std::function<std::unique_ptr<Session>()>;
using OnBatchItem = std::function<void(const BatchItem&)>;

// Writes <output>/<id>.png (<id>-1.png, ... for several pictures), the journal .polyphony-batch.jsonl as it goes, and
// results.jsonl in the order of the jobs at the end. Every file appears whole or not at all.
// Throws DataError (jobs file), UsageError (folder not empty, no journal to resume), Error (folder locked, disk), and
// what `open` throws; a bad or failed item is recorded instead.
BatchReport run_batch(const BatchOptions& options, const OpenSession& open, const OnBatchItem& on_item,
                      const OnProgress& on_progress);
std::string to_json(const BatchReport& report);

}  // namespace polyphony::pipelines
