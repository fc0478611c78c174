// SPDX-License-Identifier: Apache-2.0
// The Chat over an OLMoE folder.
#include "pipelines/chat/chat.h"

#include <ATen/Parallel.h>

#include <array>
#include <chrono>
#include <filesystem>

#include "core/base/files.h"
#include "core/check.h"
#include "core/rng.h"
#include "modalities/text/byte_bpe.h"
#include "pipelines/chat/prompt_format.h"
#include "pipelines/chat/text_stream.h"
#include "pipelines/olmoe/folder.h"
#include "pipelines/olmoe/generate.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/session.h"
#include "pipelines/torch_errors.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kMaxConfigBytes = 16u << 20;
constexpr std::array<const char*, 4> kFinishNames = {"end_of_text", "max_tokens", "context", "stopped"};

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

void check_request(const ChatRequest& request) {
  check<UsageError>(!request.text.empty(), "[prompt] expected a text, got none");
  check<UsageError>(request.max_tokens >= 1 && request.max_tokens <= kMaxAnswerTokens,
                    "[max-tokens] expected an integer from 1 to ", kMaxAnswerTokens, ", got ", request.max_tokens);
}

class OlmoeChat final : public Chat {
 public:
  // What is no OLMoE is told before a tokenizer is missed.
  OlmoeChat(const ChatOptions& options, const fs::path& folder) : OlmoeChat(options, folder, OlmoeReader(folder)) {}

  OlmoeChat(const ChatOptions& options, const fs::path& folder, const OlmoeReader& reader)
      : name_((folder.filename().empty() ? folder.parent_path() : folder).filename().string()),
        tokenizer_(text::ByteBpe::from_file(folder / "tokenizer.json")) {
    const auto format = format_of(options, reader);
    auto loaded = load_olmoe(reader, format, {.keep_packed = options.keep_packed});
    dtype_ = !format ? "float32" : *format == ops::WeightFormat::bf16 ? "bfloat16" : std::string(to_string(*format));
    model_ = std::move(loaded.model);
    warnings_ = std::move(loaded.warnings);
    check<DataError>(tokenizer_.vocab_size() <= model_.config.vocab_size, "[", folder.string(), "] the tokenizer has ",
                     tokenizer_.vocab_size(), " tokens, the model only ", model_.config.vocab_size);
    if (options.prompt_format != "plain") choose_format(folder / "tokenizer_config.json");
  }

  ChatAnswer answer(const ChatRequest& request, const OnText& on_text) override {
    return translate_torch_errors([&] { return generate(request, on_text); });
  }

  ChatDescription describe() const override {
    const auto parameters = count_parameters(model_.config);
    return {.name = name_,
            .dtype = dtype_,
            .prompt_format = format_ ? format_->name : "plain",
            .parameters_total = parameters.total,
            .parameters_active = parameters.active,
            .context_tokens = model_.config.max_position_embeddings,
            .warnings = warnings_};
  }

 private:
  static std::optional<ops::WeightFormat> format_of(const ChatOptions& options, const OlmoeReader& reader) {
    if (options.dtype == "auto") return stored_format(reader);
    if (options.dtype == "float32") return std::nullopt;
    return options.dtype == "bfloat16" ? ops::WeightFormat::bf16 : ops::weight_format(options.dtype);
  }

  void choose_format(const fs::path& file) {
    if (!fs::exists(file)) return;
    const auto text = read_file(file, kMaxConfigBytes);
    format_ = find_prompt_format(text, file.string());
    if (!format_ && text.find("\"chat_template\"") != std::string::npos)
      warnings_.push_back(join("[", file.string(), "] the chat_template is none of the known ones (",
                               join_names(known_prompt_formats()), "): texts are read as they are"));
  }

  // What the cache has not read of the conversation so far, and this turn.
  std::vector<int64_t> next_ids(const std::string& text) {
    if (!format_) {
      cache_ = {};
      history_ = tokenizer_.encode(text);
    } else {
      const auto turn = turn_ids(*format_, tokenizer_, text, history_.empty());
      history_.insert(history_.end(), turn.begin(), turn.end());
    }
    return {history_.begin() + cache_.length(), history_.end()};
  }

  ChatAnswer generate(const ChatRequest& request, const OnText& on_text) {
    check_request(request);
    ChatAnswer out{.seed = request.seed.value_or(random_seed())};
    auto generator = make_generator(out.seed);
    const auto ids = next_ids(request.text);
    out.prompt_tokens = std::ssize(ids);
    const auto start = Clock::now();
    TextStream stream;
    const auto tell = [&](const std::string& piece) {
      out.text += piece;
      return on_text(piece);
    };
    const GenerateOptions options{
        .sampling = {.temperature = request.temperature, .top_k = request.top_k, .top_p = request.top_p},
        .max_tokens = request.max_tokens};
    out.finish = generate_tokens(model_, ids, options, generator, cache_, [&](int64_t token) {
      if (out.tokens++ == 0) out.prompt_seconds = seconds_between(start, Clock::now());
      history_.push_back(token);
      return tell(tokenizer_.is_special(token) ? "" : stream.add(tokenizer_.decode({&token, 1})));
    });
    tell(stream.rest());
    out.seconds = seconds_between(start, Clock::now());
    return out;
  }

  std::string name_, dtype_;
  text::ByteBpe tokenizer_;
  OlmoeModel model_;
  std::optional<PromptFormat> format_;
  std::vector<std::string> warnings_;
  OlmoeCache cache_;
  std::vector<int64_t> history_;  // all ids of the conversation
};

}  // namespace

std::unique_ptr<Chat> open_chat(const ChatOptions& options) {
  const fs::path folder = options.model_folder;
  std::error_code unreadable;
  check<DataError>(fs::is_directory(folder, unreadable), "[chat] there is no model folder '", options.model_folder,
                   "'");
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  return translate_torch_errors(
      [&]() -> std::unique_ptr<Chat> { return std::make_unique<OlmoeChat>(options, folder); });
}

const char* finish_name(FinishReason finish) { return kFinishNames[static_cast<size_t>(finish)]; }

std::string to_json(const ChatDescription& d, const std::vector<ChatAnswer>& answers) {
  auto list = nlohmann::json::array();
  for (const auto& a : answers)
    list.push_back({{"text", a.text},
                    {"prompt_tokens", a.prompt_tokens},
                    {"tokens", a.tokens},
                    {"finish", finish_name(a.finish)},
                    {"seed", a.seed},
                    {"prompt_seconds", a.prompt_seconds},
                    {"seconds", a.seconds}});
  return dump_json({{"schema", "polyphony.chat/1"},
                    {"model", d.name},
                    {"dtype", d.dtype},
                    {"prompt_format", d.prompt_format},
                    {"answers", list},
                    {"warnings", d.warnings}});
}

}  // namespace polyphony::pipelines
