// SPDX-License-Identifier: Apache-2.0
// polyphony study: claims about the framework's parts, tried on small models with paired seeds.
#include "pipelines/study/study.h"

#include <stdlib.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"
#include "core/base/progress.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/study/judge.h"
#include "pipelines/study/page.h"
#include "pipelines/study/run_arm.h"
#include "pipelines/study/runner.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;
namespace fs = std::filesystem;

constexpr const char* kEvidence = "docs/evidence";

struct Options {
  std::string action;
  std::string name;
  std::string output;  // empty: kEvidence, or a new temporary folder for a quick run
  bool quick = false;
  int64_t jobs = std::max<int64_t>(1, std::thread::hardware_concurrency());
  std::string arm;  // a child's: one run in this process
  std::optional<uint64_t> seed;
};

fs::path output_folder(const Options& options) {
  if (!options.output.empty()) return options.output;
  if (!options.quick) return kEvidence;
  auto name = (fs::temp_directory_path() / "polyphony-study-XXXXXX").string();
  check<Error>(::mkdtemp(name.data()) != nullptr, "[study] cannot make the folder '", printable(name), "'");
  return name;
}

ExitCode list(const Options&, Terminal& terminal) {
  auto rows = nlohmann::json::array();
  for (const auto& study : studies()) {
    rows.push_back({{"name", study.name},
                    {"title", study.title},
                    {"source", study.source},
                    {"arms", study.arms.size()},
                    {"claims", study.claims.size()},
                    {"seeds", study.num_seeds}});
    terminal.result(join(study.name, ": ", study.title, " (", study.arms.size(), " arms, ", study.num_seeds, " seeds, ",
                         study.claims.size(), " claims)"));
  }
  terminal.document(dump_json({{"schema", "polyphony.studies/1"}, {"studies", rows}}));
  return ExitCode::ok;
}

void show(const StudyRecord& record, Terminal& terminal) {
  terminal.result(record.study.name + ": " + record.study.title);
  for (const auto& claim : record.study.claims) {
    const auto verdict = judge(claim, record.runs);
    const auto word = record.quick ? "quick, no evidence" : verdict.holds ? "holds" : "does not hold";
    terminal.result(join("  ", word, ": ", claim.text, " (", metric_label(claim.metric), " ",
                         short_number(verdict.value), " against ", short_number(verdict.against), ", ",
                         verdict.agreeing, " of ", verdict.num_seeds, " seeds)"));
  }
}

ExitCode run_all(const std::vector<Study>& chosen, const Options& options, Terminal& terminal) {
  const auto folder = output_folder(options);
  std::optional<polyphony::Progress> bar;
  const auto outcome = run_studies(
      {.studies = chosen,
       .folder = folder,
       .program = fs::read_symlink("/proc/self/exe"),
       .quick = options.quick,
       .jobs = options.jobs},
      [&](const StudyEvent& event) {
        if (!bar)
          bar.emplace(ProgressOptions{.task = "study",
                                      .total = event.total,
                                      .start = event.done,
                                      .unit = "run",
                                      .style = terminal.progress_style()});
        if (!event.failure.empty()) terminal.warn(event.failure);
        bar->update(event.done, event.study.empty() ? "" : join(event.study, ", ", event.arm, ", seed ", event.seed));
      });
  auto records = nlohmann::json::array();
  for (const auto& record : outcome.records) {
    show(record, terminal);
    records.push_back(to_object(record));
  }
  terminal.result(join(outcome.records.size(), " of ", chosen.size(), " studies complete; ", folder.string(),
                       options.quick ? " (a quick run shows that everything works, and is no evidence)" : ""));
  terminal.document(dump_json({{"schema", "polyphony.study_results/1"},
                               {"quick", options.quick},
                               {"output", folder.string()},
                               {"studies", records},
                               {"failures", outcome.failures}}));
  return outcome.failures.empty() ? ExitCode::ok : ExitCode::partial;
}

// What a child of run_all does; it must not outlive its parent.
ExitCode run_one(const Study& study, const Options& options) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  check<UsageError>(options.seed.has_value() && !options.output.empty(), "[study] --arm needs --seed and --output");
  const RunKey key{.study = study, .arm = arm_named(study, options.arm), .seed = *options.seed, .quick = options.quick};
  write_run(options.output, key, run_arm(key));
  return ExitCode::ok;
}

ExitCode run_named(const Options& options, Terminal& terminal) {
  check<UsageError>(!options.name.empty(), "[study] run needs the NAME of a study; 'polyphony study list' shows them");
  const auto& study = study_named(options.name);
  return options.arm.empty() ? run_all({study}, options, terminal) : run_one(study, options);
}

ExitCode run_every(const Options& options, Terminal& terminal) { return run_all(studies(), options, terminal); }

ExitCode make_page(const Options& options, Terminal& terminal) {
  check<UsageError>(!options.quick, "[study] a page is made of evidence, and quick runs are none");
  const auto page = write_evidence_page(output_folder(options)).string();
  terminal.result(page);
  terminal.document(dump_json({{"schema", "polyphony.study_page/1"}, {"page", page}}));
  return ExitCode::ok;
}

struct Action {
  const char* name;
  ExitCode (*run)(const Options& options, Terminal& terminal);
};
constexpr Action kActions[] = {{"list", &list}, {"run", &run_named}, {"all", &run_every}, {"page", &make_page}};

ExitCode run(const Options& options, Terminal& terminal) {
  check<UsageError>(options.name.empty() || options.action == "run", "[study] ", options.action, " did not expect '",
                    printable(options.name), "'");
  const auto chosen = std::find_if(std::begin(kActions), std::end(kActions),
                                   [&](const Action& action) { return options.action == action.name; });
  return chosen->run(options, terminal);
}

}  // namespace

Run define_study(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  std::vector<std::string> actions;
  for (const auto& action : kActions) actions.push_back(action.name);
  add_choice(app, {"ACTION", "list the studies, run one, run all, or make the page of evidence", actions},
             options->action)
      ->required()
      ->group("Study");
  app.add_option("NAME", options->name, "Which study to run")->type_name("")->group("Study");
  app.add_option("-o,--output", options->output,
                 "Folder for results; runs that are there are not run again\n"
                 "(default: docs/evidence; a temporary one for --quick)")
      ->type_name("DIR")
      ->group("Study");
  app.add_flag("--quick", options->quick, "A few steps and one seed: shows that everything works, is no evidence")
      ->group("Study");
  add_integer(app, {"--jobs", "Runs at a time, each on one thread (default: the processors)", 1, 256}, options->jobs)
      ->group("Study");
  // Of the child processes.
  app.add_option("--arm", options->arm)->group("");
  add_seed(app, "", options->seed)->group("");
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
