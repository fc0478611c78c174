// SPDX-License-Identifier: Apache-2.0
// polyphony caption: pictures to text.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/options.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  std::vector<std::string> files;
  std::optional<int64_t> max_tokens;
  SessionOptions session;
};

void report(const CaptionResult& result, const std::string& file, bool only_one, Terminal& terminal) {
  for (const auto& warning : result.warnings) terminal.warn(file + ": " + warning);
  terminal.result(only_one ? result.text : file + ": " + result.text);
  char line[120];
  std::snprintf(line, sizeof(line), "  confidence %.3f, %lld tokens in %.2f s", result.confidence,
                static_cast<long long>(result.tokens), result.seconds);
  terminal.note(line);
}

// One bad file among several costs that file; alone it is the command's own failure.
ExitCode run_caption(const Options& options, Terminal& terminal) {
  const bool only_one = options.files.size() == 1;
  std::vector<CaptionRequest> requests;
  for (const auto& file : options.files) {
    requests.push_back({.file = input_file(file), .image = {}, .max_tokens = options.max_tokens});
    check_request(requests.back());
    // A missing only file is told before a model is loaded for it.
    if (only_one) check_input(requests.back().file);
  }
  const auto session = open_session(options.session);
  auto results = nlohmann::json::array();
  size_t failed = 0;
  ErrorReport first_error;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto& file = options.files[i];
    try {
      auto result = session->caption(requests[i], terminal.progress());
      check<CancelledError>(result.has_value(), "[caption] stopped by a signal");
      result->file = file;
      report(*result, file, only_one, terminal);
      results.push_back(nlohmann::json::parse(to_json(*result)));
    } catch (const CancelledError&) {
      throw;
    } catch (const std::exception&) {
      if (only_one) throw;
      const auto error = report_error(std::current_exception());
      if (failed++ == 0) first_error = error;
      terminal.warn(printable(file) + ": " + error.message);
      results.push_back({{"file", to_utf8(file)}, {"error", {{"code", error.code}, {"message", error.message}}}});
    }
  }
  terminal.document(nlohmann::json{{"schema", kCaptionSchema}, {"results", results}}.dump());
  if (failed == 0) return ExitCode::ok;
  if (failed < requests.size()) return ExitCode::partial;
  if (!terminal.options.json) {  // its one document is written
    first_error.message = join("[caption] expected a picture, none of the ", failed, " files is one");
    terminal.error(first_error);
  }
  return first_error.exit_code;
}

}  // namespace

Run define_caption(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  app.add_option("FILE", options->files, "Pictures (PNG, JPEG, WebP, BMP, TIFF); - reads standard input")
      ->type_name("")
      ->required()
      ->group("Pictures");
  add_integer(app, {"--max-tokens", "Longest caption in tokens (default: the model's own)", 1, kMaxCaptionTokens},
              options->max_tokens)
      ->group("Pictures");
  add_session_options(app, options->session);
  return [options, &terminal] { return run_caption(*options, terminal); };
}

}  // namespace polyphony::cli
