// SPDX-License-Identifier: Apache-2.0
#include "pipelines/chat/prompt_format.h"

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

struct KnownFormat {
  const char* name;
  std::vector<const char*> has;  // pieces of the template that only this form has all of
  const char* user;
  const char* assistant;
  const char* after_answer;
};

// tulu: Tulu 2 (arXiv:2311.10702) and its successors, OLMoE-Instruct among them.
const std::vector<KnownFormat>& known() {
  static const std::vector<KnownFormat> rows = {
      {"tulu",
       {"'<|user|>\\n' + message['content'] + '\\n'", "'<|assistant|>\\n'", "message['content'] + eos_token"},
       "<|user|>\n",
       "\n<|assistant|>\n",
       "\n"},
  };
  return rows;
}

std::string without(std::string text, char unwanted) {
  std::erase(text, unwanted);
  return text;
}

// A line end in a template's string is written as one, or as backslash and n; blanks outside it say nothing.
std::string comparable(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\n");
  return without(text, ' ');
}

// A token's text, or an object that holds it as "content".
std::string token_text(const nlohmann::json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end()) return "";
  const auto& value = it->is_object() && it->contains("content") ? (*it)["content"] : *it;
  return value.is_string() ? value.get<std::string>() : "";
}

}  // namespace

std::vector<std::string> known_prompt_formats() {
  std::vector<std::string> names;
  for (const auto& row : known()) names.emplace_back(row.name);
  return names;
}

std::optional<PromptFormat> find_prompt_format(const std::string& tokenizer_config, const std::string& source) {
  const auto config = parse_json(tokenizer_config, source);
  ObjectReader reader(config, source);
  if (!reader.has("chat_template") || !config["chat_template"].is_string()) return std::nullopt;
  const auto text = comparable(config["chat_template"].get<std::string>());
  for (const auto& row : known()) {
    bool fits = true;
    for (const char* piece : row.has) fits = fits && text.find(without(piece, ' ')) != std::string::npos;
    if (!fits) continue;
    const bool begins = text.find("{{bos_token}}") != std::string::npos;
    return PromptFormat{.name = row.name,
                        .begin = begins ? token_text(config, "bos_token") : "",
                        .user = row.user,
                        .assistant = row.assistant,
                        .end_of_answer = token_text(config, "eos_token"),
                        .after_answer = row.after_answer};
  }
  return std::nullopt;
}

std::vector<int64_t> turn_ids(const PromptFormat& format, const text::ByteBpe& tokenizer, const std::string& text,
                              bool first_turn) {
  std::vector<int64_t> ids;
  std::string plain;
  const auto flush = [&] {
    const auto more = tokenizer.encode(plain, {.special = false, .template_ids = false});
    ids.insert(ids.end(), more.begin(), more.end());
    plain.clear();
  };
  // A mark that is a token may have line ends around it.
  const auto mark = [&](const std::string& piece) {
    const auto first = piece.find_first_not_of('\n');
    const auto last = piece.find_last_not_of('\n');
    const auto id =
        first == std::string::npos ? std::nullopt : tokenizer.find_added(piece.substr(first, last + 1 - first));
    if (!id) {
      plain += piece;
      return;
    }
    plain += piece.substr(0, first);
    flush();
    ids.push_back(*id);
    plain += piece.substr(last + 1);
  };
  mark(first_turn ? format.begin : format.end_of_answer);
  if (!first_turn) plain += format.after_answer;
  mark(format.user);
  plain += text;
  mark(format.assistant);
  flush();
  return ids;
}

}  // namespace polyphony::pipelines
