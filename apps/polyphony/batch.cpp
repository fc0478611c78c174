// SPDX-License-Identifier: Apache-2.0
// polyphony batch: many requests from one file.
#include "pipelines/batch/batch.h"

#include <nlohmann/json.hpp>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  BatchOptions batch;
  SessionOptions session;
};

void report_item(const BatchItem& item, Terminal& terminal) {
  const auto place = "line " + std::to_string(item.line) + " (" + item.id + ")";
  if (item.state == ItemState::skipped) return terminal.detail(place + ": done before");
  if (item.state == ItemState::done) return terminal.note(place + ": done");
  terminal.warn(place + ": " + nlohmann::json::parse(item.result_json)["error"]["message"].get<std::string>());
}

ExitCode run(const Options& options, Terminal& terminal) {
  auto batch = options.batch;
  batch.jobs = input_file(batch.jobs);
  const auto report = run_batch(
      batch, [&] { return open_session(options.session); }, [&](const BatchItem& item) { report_item(item, terminal); },
      terminal.progress());
  terminal.result(std::to_string(report.done) + " done, " + std::to_string(report.failed) + " failed, " +
                  std::to_string(report.skipped) + " done before, of " + std::to_string(report.total) + "; " +
                  report.results);
  terminal.document(to_json(report));
  throw_if_interrupted();
  return report.failed > 0 ? ExitCode::partial : ExitCode::ok;
}

}  // namespace

Run define_batch(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  auto& batch = options->batch;
  app.add_option("JOBS", batch.jobs, "JSONL file with one request a line; - reads standard input")
      ->type_name("")
      ->required()
      ->group("Batch");
  app.add_option("-o,--output", batch.output, "Folder for pictures and results.jsonl")
      ->type_name("DIR")
      ->required()
      ->group("Batch");
  auto* resume =
      app.add_flag("--resume", batch.resume, "Go on with the batch in the folder; done items stay")->group("Batch");
  app.add_flag("--overwrite", batch.overwrite, "Start anew in a folder that is not empty")
      ->excludes(resume)
      ->group("Batch");
  add_integer(app, {"--max-failures", "Stop after so many failed items (default: never)", 1}, batch.max_failures)
      ->group("Batch");
  add_session_options(app, options->session);
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
