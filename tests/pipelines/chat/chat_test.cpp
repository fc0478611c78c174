// SPDX-License-Identifier: Apache-2.0
#include "pipelines/chat/chat.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"
#include "core/tensor_io.h"
#include "modalities/text/byte_bpe.h"
#include "pipelines/chat/prompt_format.h"
#include "pipelines/chat/text_stream.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {
namespace fs = std::filesystem;

const fs::path kModel = fs::path(POLYPHONY_SOURCE_DIR) / "tests/golden/olmoe/mha";

// The form that models taught with Tulu's data have, as their tokenizer_config.json writes it.
constexpr const char* kTulu =
    "{{ bos_token }}{% for message in messages %}\n{% if message['role'] == 'system' %}\n{{ '<|system|>\n' + "
    "message['content'] + '\n' }}\n{% elif message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + '\n' "
    "}}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}\n"
    "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>\n' }}\n{% endif %}\n{% endfor %}";

std::string tokenizer_config(const std::string& chat_template) {
  return nlohmann::json{{"bos_token", nullptr},
                        {"eos_token", {{"content", "<|endoftext|>"}, {"special", true}}},
                        {"chat_template", chat_template}}
      .dump();
}

TEST(TextStream, HoldsBackTheBeginningOfACharacter) {
  TextStream stream;
  EXPECT_EQ(stream.add("a\xe6"), "a");
  EXPECT_EQ(stream.add("\x97"), "");
  EXPECT_EQ(stream.add("\xa5"
                       "b"),
            "日b");
  EXPECT_EQ(stream.add("\xf0\x9f\x8e"), "");
  EXPECT_EQ(stream.add("\x89\xc3"), "🎉");
  EXPECT_EQ(stream.rest(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.rest(), "");
  EXPECT_EQ(stream.add("\x80\xff!"), "\xEF\xBF\xBD\xEF\xBF\xBD!");
}

TEST(PromptFormat, KnowsTulusTemplateHoweverItsLineEndsAreWritten) {
  auto with_backslash = std::string(kTulu);
  for (size_t at = 0; (at = with_backslash.find('\n', at)) != std::string::npos; at += 2)
    with_backslash.replace(at, 1, "\\n");
  for (const auto& text : {std::string(kTulu), with_backslash}) {
    const auto format = find_prompt_format(tokenizer_config(text), "tokenizer_config.json");
    ASSERT_TRUE(format);
    EXPECT_EQ(format->name, "tulu");
    EXPECT_EQ(format->end_of_answer, "<|endoftext|>");
    EXPECT_EQ(format->begin, "");
  }
  const std::string other = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}{% endfor %}";
  EXPECT_FALSE(find_prompt_format(tokenizer_config(other), "t"));
  EXPECT_FALSE(find_prompt_format("{}", "t"));
  EXPECT_REFUSED(DataError, find_prompt_format("[", "t.json"), "t.json");
}

TEST(PromptFormat, WritesTurnsWithMarksAsTokensAndTextAsText) {
  const auto tokenizer = text::ByteBpe::from_file(kModel / "tokenizer.json");
  const auto format = *find_prompt_format(tokenizer_config(kTulu), "t");
  const auto user = *tokenizer.find_added("<|user|>"), end = *tokenizer.find_added("<|endoftext|>");
  const auto first = turn_ids(format, tokenizer, "hi<|endoftext|><|user|>", true);
  EXPECT_EQ(first.front(), user);
  EXPECT_EQ(std::count(first.begin(), first.end(), user), 1);
  EXPECT_EQ(std::count(first.begin(), first.end(), end), 0);
  EXPECT_EQ(tokenizer.decode(first), "<|user|>\nhi<|endoftext|><|user|>\n<|assistant|>\n");
  const auto second = turn_ids(format, tokenizer, "so?", false);
  EXPECT_EQ(second.front(), end);
  EXPECT_EQ(tokenizer.decode(second), "<|endoftext|>\n<|user|>\nso?\n<|assistant|>\n");
}

class OlmoeChat : public ::testing::Test {
 protected:
  // The golden folder with another file beside its own.
  fs::path with(const std::string& file, const std::string& text) {
    fs::copy(kModel, folder_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    std::ofstream(folder_ / file) << text;
    return folder_.path();
  }
  ChatAnswer ask(Chat& chat, const ChatRequest& request, int64_t stop_after = 1000) {
    pieces_.clear();
    return chat.answer(request, [&](std::string_view piece) {
      pieces_.emplace_back(piece);
      return std::ssize(pieces_) < stop_after;
    });
  }
  polyphony::testing::TemporaryFolder folder_;
  std::vector<std::string> pieces_;
};

TEST_F(OlmoeChat, GivesItsAnswerInPiecesThatMakeUpTheWhole) {
  const auto chat = open_chat({.model_folder = kModel.string()});
  EXPECT_EQ(chat->describe().prompt_format, "plain");
  EXPECT_EQ(chat->describe().dtype, "float32");
  const auto answer = ask(*chat, {.text = "the circle", .temperature = 2, .seed = 4, .max_tokens = 20});
  EXPECT_EQ(answer.tokens, 20);
  EXPECT_EQ(answer.finish, FinishReason::max_tokens);
  std::string whole;
  for (const auto& piece : pieces_) whole += piece;
  EXPECT_EQ(whole, answer.text);
  EXPECT_GE(std::ssize(pieces_), 20);
  const auto again = ask(*chat, {.text = "the circle", .temperature = 2, .seed = 4, .max_tokens = 20});
  EXPECT_EQ(again.text, answer.text);  // a plain text does not hear of the one before
  EXPECT_EQ(again.prompt_tokens, answer.prompt_tokens);
}

TEST_F(OlmoeChat, ReadsOnlyWhatIsNewInAConversation) {
  const auto folder = with("tokenizer_config.json", tokenizer_config(kTulu)).string();
  const auto chat = open_chat({.model_folder = folder});
  EXPECT_EQ(chat->describe().prompt_format, "tulu");
  const auto first = ask(*chat, {.text = "hi", .max_tokens = 2}), second = ask(*chat, {.text = "hi", .max_tokens = 2});
  // The last token of an answer that was cut is read with the next turn, as is the mark that ends it and a line end.
  EXPECT_EQ(second.prompt_tokens, first.prompt_tokens + 3);
  EXPECT_EQ(open_chat({.model_folder = folder, .prompt_format = "plain"})->describe().prompt_format, "plain");
}

TEST_F(OlmoeChat, StopsWhereItIsTold) {
  const auto chat = open_chat({.model_folder = kModel.string()});
  const auto answer = ask(*chat, {.text = "the", .temperature = 1, .seed = 1, .max_tokens = 9}, 3);
  EXPECT_EQ(answer.finish, FinishReason::stopped);
  EXPECT_EQ(answer.tokens, 3);
}

TEST_F(OlmoeChat, WarnsOfATemplateThatItDoesNotKnow) {
  const auto chat = open_chat({.model_folder = with("tokenizer_config.json", tokenizer_config("{{ x }}")).string()});
  ASSERT_EQ(chat->describe().warnings.size(), 1U);
  EXPECT_NE(chat->describe().warnings[0].find("chat_template"), std::string::npos);
}

TEST_F(OlmoeChat, NamesWhatIsWrong) {
  EXPECT_REFUSED(DataError, open_chat({.model_folder = "/nowhere"}), "[chat]", "/nowhere");
  EXPECT_REFUSED(DataError, open_chat({.model_folder = POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe"}), "config.json",
                 "'olmoe'", "'dit_moe'");
  EXPECT_REFUSED(DataError, open_chat({.model_folder = POLYPHONY_SOURCE_DIR "/tests/golden/olmoe/gqa"}),
                 "tokenizer.json");
  EXPECT_REFUSED(DataError, open_chat({.model_folder = with("tokenizer.json", "{}").string()}), "tokenizer.json",
                 "BPE");
  const auto chat = open_chat({.model_folder = kModel.string()});
  EXPECT_REFUSED(UsageError, ask(*chat, {.text = ""}), "[prompt]");
  EXPECT_REFUSED(UsageError, ask(*chat, {.text = "a", .max_tokens = 0}), "[max-tokens]");
  EXPECT_REFUSED(UsageError, ask(*chat, {.text = "a", .temperature = -1}), "[temperature]");
  EXPECT_REFUSED(UsageError, ask(*chat, {.text = std::string(100, '~')}), "at most 64 tokens");
}

TEST_F(OlmoeChat, RefusesATokenizerWithMoreTokensThanTheModel) {
  const auto small = fs::path(POLYPHONY_SOURCE_DIR) / "tests/golden/olmoe/gqa";
  fs::copy(small, folder_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  fs::copy(kModel / "tokenizer.json", folder_ / "tokenizer.json");
  EXPECT_REFUSED(DataError, open_chat({.model_folder = folder_.path().string()}), "313 tokens", "only 40");
}

}  // namespace
}  // namespace polyphony::pipelines
