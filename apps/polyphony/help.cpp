// SPDX-License-Identifier: Apache-2.0
// polyphony help [SUBCOMMAND].
#include "apps/polyphony/command.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {

Run define_help(CLI::App& app, Terminal& terminal) {
  const auto name = std::make_shared<std::string>();
  app.add_option("SUBCOMMAND", *name, "Whose help to show")->type_name("");
  return [name, &app, &terminal] {
    CLI::App* root = app.get_parent();
    CLI::App* shown = nullptr;
    std::vector<std::string> names;
    for (auto* command : root->get_subcommands({})) {
      names.push_back(command->get_name());
      if (command->get_name() == *name) shown = command;
    }
    check<UsageError>(name->empty() || shown, "[help] unknown subcommand '", printable(*name), "'",
                      did_you_mean(*name, names));
    // App::help() would follow the subcommand that was parsed, which is this one.
    terminal.raw(shown ? shown->help("polyphony")
                       : root->get_formatter()->make_help(root, "polyphony", CLI::AppFormatMode::Normal));
    return ExitCode::ok;
  };
}

}  // namespace polyphony::cli
