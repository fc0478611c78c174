// SPDX-License-Identifier: Apache-2.0
// A language model that answers: text in, text out as it comes. Standard library only: front ends never see LibTorch.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipelines/olmoe/finish_reason.h"

namespace polyphony::pipelines {

inline constexpr double kMaxTemperature = 100.0;
inline constexpr int64_t kMaxAnswerTokens = 1 << 24;

struct ChatOptions {
  std::string model_folder = {};
  std::string dtype = "auto";  // auto | float32 | bfloat16 | int8 | int4, of the weights; auto: as they are stored
  std::string prompt_format =
      "auto";                // auto: the folder's, where it is one of known_prompt_formats(); plain: the text as it is
  bool keep_packed = false;  // write the packed weights beside the model (pipelines/olmoe/folder.h)
  int64_t threads = 0;       // 0: as many as the process may use
};

struct ChatRequest {
  std::string text = {};
  double temperature = 0;             // 0: always the likeliest token
  int64_t top_k = 0;                  // draw from the K likeliest tokens; 0: from all
  double top_p = 1;                   // and from the fewest whose probabilities add up to it
  std::optional<uint64_t> seed = {};  // left out: drawn at random and told
  int64_t max_tokens = 256;
};

struct ChatAnswer {
  std::string text = {};  // UTF-8
  int64_t prompt_tokens = 0;
  int64_t tokens = 0;
  FinishReason finish = FinishReason::end_of_text;
  uint64_t seed = 0;
  double prompt_seconds = 0;  // until the first token
  double seconds = 0;         // in all
};

struct ChatDescription {
  std::string name = {};  // of the folder
  std::string dtype = {};
  std::string prompt_format = {};  // one of known_prompt_formats(), or "plain"
  int64_t parameters_total = 0, parameters_active = 0;
  int64_t context_tokens = 0;
  std::vector<std::string> warnings = {};
};

// Called once a token with the characters that are whole now, which may be none. False: stop.
using OnText = std::function<bool(std::string_view piece)>;

// With a prompt format the requests are turns of one conversation; plain texts each stand for themselves.
class Chat {
 public:
  virtual ~Chat() = default;
  // Throws UsageError for values out of range and for a text that the context cannot hold.
  virtual ChatAnswer answer(const ChatRequest& request, const OnText& on_text) = 0;
  virtual ChatDescription describe() const = 0;
};

// The folder of an OLMoE with its tokenizer.json. Throws DataError, MemoryError.
std::unique_ptr<Chat> open_chat(const ChatOptions& options);

std::vector<std::string> known_prompt_formats();
const char* finish_name(FinishReason finish);
// Schema "polyphony.chat/1".
std::string to_json(const ChatDescription& description, const std::vector<ChatAnswer>& answers);

}  // namespace polyphony::pipelines
