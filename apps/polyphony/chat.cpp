// SPDX-License-Identifier: Apache-2.0
// polyphony chat: a language model's answers as they come.
#include "pipelines/chat/chat.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/polyphony/command.h"
#include "apps/polyphony/files.h"
#include "apps/polyphony/line_reader.h"
#include "apps/polyphony/options.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::cli {
namespace {

using namespace pipelines;

struct Options {
  ChatOptions chat;
  ChatRequest request;
  std::string prompt;
  const CLI::Option* prompt_flag = nullptr;
  std::optional<double> temperature, top_p;
  bool plain = false;
};

// A model's words may hold control characters, which a terminal would obey.
std::string harmless(std::string_view piece) {
  std::string out(piece);
  std::erase_if(out, [](char c) { return (static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F; });
  return out;
}

void note_figures(const ChatAnswer& answer, Terminal& terminal) {
  const auto rest = answer.seconds - answer.prompt_seconds;
  char line[160];
  std::snprintf(line, sizeof(line), "  %lld tokens read in %.2f s, %lld written (%s), %.1f tokens/s",
                static_cast<long long>(answer.prompt_tokens), answer.prompt_seconds,
                static_cast<long long>(answer.tokens), finish_name(answer.finish),
                answer.tokens > 1 && rest > 0 ? static_cast<double>(answer.tokens - 1) / rest : 0.0);
  terminal.note(line);
}

class Conversation {
 public:
  Conversation(const Options& options, Terminal& terminal)
      : options_(options), terminal_(terminal), chat_(open_chat(options.chat)) {
    const auto about = chat_->describe();
    for (const auto& warning : about.warnings) terminal.warn(warning);
    terminal.detail("[chat] " + about.name + ", " + about.dtype + ", prompts: " + about.prompt_format);
  }

  void ask(const std::string& text) {
    auto request = options_.request;
    request.text = text;
    answers_.push_back(chat_->answer(request, [&](std::string_view piece) {
      if (!terminal_.options.json) terminal_.raw(harmless(piece));
      return interrupted() == 0;
    }));
    terminal_.result("");
    note_figures(answers_.back(), terminal_);
  }

  // Answers each line. At a terminal the first Ctrl-C ends an answer, and one at the prompt ends the conversation.
  void ask_lines() {
    const bool by_hand = ::isatty(STDIN_FILENO) == 1;
    LineReader lines;
    for (;;) {
      if (by_hand) terminal_.note("> ");
      const auto line = lines.next();
      if (!line) return;
      if (trim(*line).empty()) continue;
      ask(*line);
      if (by_hand && answers_.back().finish == FinishReason::stopped) take_interrupt();
    }
  }

  ExitCode finish() {
    terminal_.document(to_json(chat_->describe(), answers_));
    return interrupted() ? static_cast<ExitCode>(128 + interrupted()) : ExitCode::ok;
  }

 private:
  const Options& options_;
  Terminal& terminal_;
  std::unique_ptr<Chat> chat_;
  std::vector<ChatAnswer> answers_;
};

ExitCode run(Options& options, Terminal& terminal) {
  check<UsageError>(!options.chat.model_folder.empty(), "[chat] --model is required");
  options.request.temperature = options.temperature.value_or(options.request.temperature);
  options.request.top_p = options.top_p.value_or(options.request.top_p);
  if (options.plain) options.chat.prompt_format = "plain";
  const bool prompted = options.prompt_flag->count() > 0;
  const auto prompt = prompted ? read_text_argument(options.prompt) : "";
  check<UsageError>(!prompted || !prompt.empty(), "[prompt] expected a text, got none");
  Conversation conversation(options, terminal);
  prompted ? conversation.ask(prompt) : conversation.ask_lines();
  return conversation.finish();
}

}  // namespace

Run define_chat(CLI::App& app, Terminal& terminal) {
  const auto options = std::make_shared<Options>();
  options->prompt_flag =
      app.add_option(
             "--prompt", options->prompt,
             "Text to answer; @FILE reads it from a file, - from standard input (default: a conversation, a line "
             "of standard input a turn)")
          ->type_name("TEXT")
          ->group("Text");
  add_integer(app, {"--max-tokens", "Longest answer in tokens (default: 256)", 1, kMaxAnswerTokens},
              options->request.max_tokens)
      ->group("Text");
  add_number(app,
             {"--temperature", "0 takes the likeliest token each time; 1 draws as the model does (default: 0)", 0,
              kMaxTemperature},
             options->temperature)
      ->group("Text");
  add_integer(app, {"--top-k", "Draw from the N likeliest tokens; 0: from all (default: 0)", 0}, options->request.top_k)
      ->group("Text");
  add_number(app, {"--top-p", "Draw from the fewest tokens whose probabilities add up to X (default: 1)", 1e-6, 1},
             options->top_p)
      ->group("Text");
  add_seed(app, "Of the draws; the same seed gives the same answer (default: random)", options->request.seed)
      ->group("Text");
  app.add_flag("--plain", options->plain,
               "Read texts as they are; otherwise as turns, where the folder's chat_template is one of: " +
                   join_names(known_prompt_formats()))
      ->group("Text");
  app.add_option("--model", options->chat.model_folder, "Folder of an OLMoE with config.json, weights, tokenizer.json")
      ->type_name("FOLDER")
      ->group("Running");
  add_choice(app,
             {"--dtype",
              "Number format of weights and attention (default: as they are stored)",
              {"auto", "float32", "bfloat16"}},
             options->chat.dtype)
      ->group("Running");
  app.add_flag("--keep-packed", options->chat.keep_packed,
               "Keep the weights as the kernels read them in FOLDER/packed_FORMAT.bin, which later starts only map")
      ->group("Running");
  add_integer(app, {"--threads", "CPU threads (default: all)", 1, 4096}, options->chat.threads)->group("Running");
  return [options, &terminal] { return run(*options, terminal); };
}

}  // namespace polyphony::cli
