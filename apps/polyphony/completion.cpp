// SPDX-License-Identifier: Apache-2.0
// polyphony completion bash: a script made from the same tree of flags that the parser uses.
#include <algorithm>

#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"
#include "core/base/text.h"

namespace polyphony::cli {
namespace {

std::string flags_of(const CLI::App& app) {
  std::string flags;
  for (const auto* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden from help too
    for (const auto& name : option->get_lnames()) flags += " --" + name;
    for (const auto& name : option->get_snames()) flags += " -" + name;
  }
  return flags.empty() ? flags : flags.substr(1);
}

// The words of "auto|cpu|cuda"; what is in capitals (FILE, N) stands for something else.
std::string words_of(const CLI::Option& option) {
  std::string words;
  const auto type = option.get_type_name();
  if (type.find('|') == std::string::npos) return words;
  for (const auto& word : split(type, '|'))
    if (std::none_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) words += " " + word;
  return words.empty() ? words : words.substr(1);
}

std::string command_case(const CLI::App& command) {
  std::string text = "    " + command.get_name() + ")\n      flags=\"" + flags_of(command) + "\"\n";
  std::string values;
  for (const auto* option : command.get_options())
    if (const auto words = words_of(*option); !words.empty() && !option->get_lnames().empty())
      values += "        --" + option->get_lnames().front() + ") words=\"" + words + "\" ;;\n";
  if (!values.empty()) text += "      case \"$previous\" in\n" + values + "      esac\n";
  return text + "      ;;\n";
}

std::string bash_script(const CLI::App& root) {
  std::string names;
  std::string cases;
  for (const auto* command : root.get_subcommands({})) {
    names += (names.empty() ? "" : " ") + command->get_name();
    cases += command_case(*command);
  }
  // clang-format off
  return "# bash completion for polyphony; load it with: source <(polyphony completion bash)\n"
         "_polyphony() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" flags=\"\" words=\"\"\n"
         "  COMPREPLY=()\n"
         "  if ((COMP_CWORD == 1)); then\n"
         "    COMPREPLY=($(compgen -W \"" + names + " " + flags_of(root) + "\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  case \"${COMP_WORDS[1]}\" in\n" + cases +
         "  esac\n"
         "  if [[ ${COMP_WORDS[1]} == help ]]; then words=\"" + names + "\"; fi\n"
         "  if [[ ${COMP_WORDS[1]} == completion ]]; then words=\"bash\"; fi\n"
         "  if [[ -n $words && $current != -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  elif [[ $current == -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
         "  else\n"
         "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
         "  fi\n"
         "}\n"
         "complete -o filenames -F _polyphony polyphony\n";
  // clang-format on
}

}  // namespace

Run define_completion(CLI::App& app, Terminal& terminal) {
  const auto shell = std::make_shared<std::string>();
  add_choice(app, {"SHELL", "Which shell: bash", {"bash"}}, *shell)->type_name("")->required();
  return [&app, &terminal] {
    terminal.raw(bash_script(*app.get_parent()));
    return ExitCode::ok;
  };
}

}  // namespace polyphony::cli
