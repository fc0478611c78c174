// SPDX-License-Identifier: Apache-2.0
// How a model that was taught to converse wants its turns written. Templates of tokenizer_config.json are programs of a
// language that is not run here: a folder's template is compared with the few forms that are known.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "modalities/text/byte_bpe.h"

namespace polyphony::pipelines {

struct PromptFormat {
  std::string name = {};
  std::string begin = {};          // of a conversation; may be empty
  std::string user = {};           // before a user's text
  std::string assistant = {};      // between it and the answer
  std::string end_of_answer = {};  // the control token behind an answer
  std::string after_answer = {};   // text between that and the next turn
};

std::vector<std::string> known_prompt_formats();

// The one that this tokenizer_config.json names, with its control tokens; nothing for a file without a template or with
// one that is not known. `source` names the file in messages. Throws DataError.
std::optional<PromptFormat> find_prompt_format(const std::string& tokenizer_config, const std::string& source);

// The ids of one more turn. Marks that are tokens of their own become their ids; a user's text never becomes a control
// token.
std::vector<int64_t> turn_ids(const PromptFormat& format, const text::ByteBpe& tokenizer, const std::string& text,
                              bool first_turn);

}  // namespace polyphony::pipelines
