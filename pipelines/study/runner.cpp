// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/runner.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <thread>

#include "core/base/files.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/study/child_process.h"
#include "pipelines/study/figure.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr auto kPause = std::chrono::milliseconds(20);

std::vector<RunKey> keys_of(const Study& study, bool quick) {
  std::vector<RunKey> keys;
  const int64_t num_seeds = quick ? 1 : study.num_seeds;
  for (int64_t seed = 1; seed <= num_seeds; ++seed)
    for (const auto& arm : study.arms)
      keys.push_back({.study = study, .arm = arm, .seed = static_cast<uint64_t>(seed), .quick = quick});
  return keys;
}

fs::path log_file(const fs::path& folder, const RunKey& key) { return run_file(folder, key).replace_extension(".log"); }

ChildCommand child_command(const StudyPlan& plan, const RunKey& key) {
  ChildCommand command{.program = plan.program,
                       .arguments = {"study", "run", key.study.name, "--arm", key.arm.name, "--seed",
                                     std::to_string(key.seed), "--output", plan.folder.string()},
                       .log = log_file(plan.folder, key)};
  if (key.quick) command.arguments.push_back("--quick");
  return command;
}

std::string name_of(const RunKey& key) {
  return key.study.name + ", arm '" + key.arm.name + "', seed " + std::to_string(key.seed);
}

// Empty if the child has left its result, else why not.
std::string failure_of(const StudyPlan& plan, const RunKey& key, int exit_code) {
  if (exit_code == 0 && ready_run(plan.folder, key)) return {};
  const auto log = read_file(log_file(plan.folder, key), 1u << 20);
  return name_of(key) + ": exit code " + std::to_string(exit_code) + (log.empty() ? "" : ", ") +
         printable(trim(log), 600);
}

struct RunningChild {
  RunningChild(const StudyPlan& plan, const RunKey& run) : key(run), process(child_command(plan, run)) {}
  RunKey key;
  ChildProcess process;
};

// Children at work; when it goes, all are asked to stop before the first is waited for.
class Children {
 public:
  ~Children() {
    for (auto& child : running_) child.process.ask_to_stop();
  }
  size_t size() const { return running_.size(); }
  void start(const StudyPlan& plan, const RunKey& key) {
    fs::create_directories(log_file(plan.folder, key).parent_path());
    running_.emplace_back(plan, key);
  }
  // Calls back for each child that has ended.
  template <class OnEnd>
  void collect(OnEnd on_end) {
    std::erase_if(running_, [&](RunningChild& child) {
      const auto code = child.process.exit_code();
      if (code) on_end(child.key, *code);
      return code.has_value();
    });
  }

 private:
  std::list<RunningChild> running_;
};

std::optional<StudyRecord> record_of(const StudyPlan& plan, const Study& study) {
  StudyRecord record{.study = study, .quick = plan.quick};
  for (const auto& key : keys_of(study, plan.quick)) {
    auto run = ready_run(plan.folder, key);
    if (!run) return std::nullopt;
    record.runs.push_back(std::move(*run));
  }
  return record;
}

}  // namespace

StudyOutcome run_studies(const StudyPlan& plan, const OnStudyEvent& on_event) {
  check<ConfigError>(plan.jobs >= 1, "[study] jobs must be at least 1, got ", plan.jobs);
  std::list<RunKey> waiting;
  StudyEvent event;
  for (const auto& study : plan.studies)
    for (const auto& key : keys_of(study, plan.quick)) {
      ++event.total;
      if (ready_run(plan.folder, key))
        ++event.done;
      else
        waiting.push_back(key);
    }
  on_event(event);

  StudyOutcome outcome;
  Children children;
  while (!waiting.empty() || children.size() > 0) {
    throw_if_interrupted();
    while (!waiting.empty() && static_cast<int64_t>(children.size()) < plan.jobs) {
      children.start(plan, waiting.front());
      waiting.pop_front();
    }
    children.collect([&](const RunKey& key, int exit_code) {
      throw_if_interrupted();  // the terminal's Ctrl-C ends the children too, which is no failure
      event = {.done = event.done + 1,
               .total = event.total,
               .study = key.study.name,
               .arm = key.arm.name,
               .seed = key.seed,
               .failure = failure_of(plan, key, exit_code)};
      if (event.failure.empty())
        fs::remove(log_file(plan.folder, key));
      else
        outcome.failures.push_back(event.failure);
      on_event(event);
    });
    std::this_thread::sleep_for(kPause);
  }
  for (const auto& study : plan.studies) {
    auto record = record_of(plan, study);
    if (!record) continue;
    write_record(plan.folder, *record);
    write_figure(plan.folder, *record);
    outcome.records.push_back(std::move(*record));
  }
  return outcome;
}

}  // namespace polyphony::pipelines
