// SPDX-License-Identifier: Apache-2.0
// polyphony doctor: is everything there that the program needs?
#include "pipelines/doctor/doctor.h"

#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

ExitCode run(const DoctorOptions& options, Terminal& terminal) {
  constexpr const char* kWords[] = {"OK  ", "WARN", "FAIL"};
  terminal.result(version_text() + ", compiler " POLYPHONY_COMPILER);
  const auto findings = run_doctor(options);
  for (const auto& finding : findings) {
    terminal.result(std::string(kWords[static_cast<int>(finding.verdict)]) + "  " + finding.name + ": " +
                    finding.message);
    if (!finding.remedy.empty()) terminal.result("      try: " + finding.remedy);
  }
  terminal.document(to_json(findings));
  return has_failure(findings) ? ExitCode::failure : ExitCode::ok;
}

}  // namespace

Run define_doctor(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<DoctorOptions>();
  add_device(app, options->device);
  app.add_option("--model", options->model, "Model folder to check (default: the one that ships)")->type_name("FOLDER");
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
