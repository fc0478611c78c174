// SPDX-License-Identifier: Apache-2.0
// polyphony chat, forward and inspect on a small OLMoE folder.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/formats/safetensors.h"
#include "tests/apps/child.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

const std::string kModel = POLYPHONY_SOURCE_DIR "/tests/golden/olmoe/mha";

ChildResult chat(std::vector<std::string> arguments, const ChildOptions& options = {}) {
  arguments.insert(arguments.begin(), {"chat", "--model", kModel});
  return run_child(arguments, options);
}

TEST(ChatCommandLine, PutsTheAnswerAloneOnStdout) {
  const auto run = chat({"--prompt", "the circle", "--max-tokens", "6", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto document = nlohmann::json::parse(run.out);
  EXPECT_EQ(document["schema"], "polyphony.chat/1");
  EXPECT_EQ(document["answers"].size(), 1U);
  EXPECT_EQ(document["answers"][0]["tokens"], 6);
  EXPECT_EQ(document["answers"][0]["finish"], "max_tokens");
  const auto plain = chat({"--prompt", "the circle", "--max-tokens", "6"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_NE(plain.err.find("6 written (max_tokens)"), std::string::npos) << plain.err;
  EXPECT_EQ(chat({"--prompt", "-", "--max-tokens", "6"}, {.input = "the circle\n"}).out, plain.out);
}

TEST(ChatCommandLine, AnswersEachLineOfStandardInput) {
  const auto run = chat({"--max-tokens", "3", "--json"}, {.input = "the circle\n\n  \r\nthe square"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(nlohmann::json::parse(run.out)["answers"].size(), 2U);
  EXPECT_EQ(chat({}, {.input = ""}).code, 0);
}

TEST(ChatCommandLine, RepeatsADrawWithItsSeed) {
  const std::vector<std::string> arguments = {"--prompt", "the", "--temperature", "2",  "--top-p",      "0.9",
                                              "--top-k",  "50",  "--seed",        "11", "--max-tokens", "12"};
  const auto first = chat(arguments), second = chat(arguments);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out, second.out);
}

TEST(ChatCommandLine, RefusesWhatItCannotDo) {
  const std::vector<std::pair<std::vector<std::string>, int>> cases = {
      {{"--prompt", "x", "--temperature", "-1"}, 2}, {{"--prompt", "x", "--temperature", "nan"}, 2},
      {{"--prompt", "x", "--top-p", "0"}, 2},        {{"--prompt", "x", "--top-k", "-3"}, 2},
      {{"--prompt", "x", "--max-tokens", "0"}, 2},   {{"--prompt", ""}, 2},
      {{"--prompt", std::string(70, '~')}, 2},       {{"--prompt", "@/nowhere.txt"}, 3},
      {{"--prompt", "x", "--dtype", "float64"}, 2},
  };
  for (const auto& [arguments, code] : cases) {
    const auto run = chat(arguments);
    EXPECT_EQ(run.code, code) << arguments[1] << ": " << run.err;
    EXPECT_NE(run.err.find("polyphony: error: ["), std::string::npos) << run.err;
    EXPECT_EQ(run.out, "");
  }
  EXPECT_EQ(run_child({"chat", "--prompt", "x"}).code, 2);
  EXPECT_EQ(run_child({"chat", "--model", "/nowhere", "--prompt", "x"}).code, 3);
  EXPECT_EQ(run_child({"chat", "--model", POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe", "--prompt", "x"}).code, 3);
}

TEST(ChatCommandLine, EndsWithASignalWhileItWaitsForALine) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::fstream keeps_it_open((folder / "pipe").c_str(), std::ios::in | std::ios::out);
  const auto run = chat({}, {.input_file = (folder / "pipe").string(), .kill_signal = SIGINT, .kill_after_ms = 3000});
  EXPECT_EQ(run.code, 130) << run.err;
}

TEST(OlmoeCommandLine, ForwardGivesLogitsAndInspectKnowsTheFamily) {
  const TemporaryFolder folder;
  const auto out = (folder / "out.safetensors").string();
  const std::vector<int64_t> ids = {5, 6, 7, 8, 9, 10};
  formats::write_safetensors(folder / "in.safetensors",
                             {{"input_ids", formats::DType::i64, {2, 3}, std::as_bytes(std::span(ids))}});
  const auto run =
      run_child({"forward", "--model", kModel, "--input", (folder / "in.safetensors").string(), "--output", out});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(formats::SafetensorsFile::open(out).find("logits")->shape, (std::vector<int64_t>{2, 3, 320}));
  const auto inspected = run_child({"inspect", kModel, "--json"});
  ASSERT_EQ(inspected.code, 0) << inspected.err;
  const auto document = nlohmann::json::parse(inspected.out);
  EXPECT_EQ(document["architecture"], "OlmoeForCausalLM");
  EXPECT_EQ(document["parameters_total"], 18352);
  EXPECT_EQ(document["parameters_active"], 18352 - 2 * 3 * 3 * 12 * 16);  // 3 of 5 experts a layer are not chosen
}

TEST(OlmoeCommandLine, ConvertMakesAQuantisedFolderThatChatReads) {
  const TemporaryFolder folder;
  const auto out = (folder / "int4").string();
  const auto run = run_child({"convert", kModel, "--quantize", "int4", "--output", out, "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto report = nlohmann::json::parse(run.out);
  EXPECT_EQ(report["schema"], "polyphony.quantize/1");
  EXPECT_GT(report["logit_kl"].get<double>(), 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "int4" / "README.md"));
  const auto answer =
      run_child({"chat", "--model", out, "--prompt", "the", "--max-tokens", "3", "--keep-packed", "--json"});
  ASSERT_EQ(answer.code, 0) << answer.err;
  EXPECT_EQ(nlohmann::json::parse(answer.out)["dtype"], "int4");
  EXPECT_TRUE(std::filesystem::exists(folder / "int4" / "packed_int4.bin"));
  EXPECT_EQ(run_child({"inspect", out}).code, 0);
  EXPECT_EQ(run_child({"convert", kModel, "--quantize", "int8", "--output", out}).code, 2);
  EXPECT_EQ(run_child({"convert", kModel, "--quantize", "int8", "--mode", "rf", "--output", out + "2"}).code, 2);
  EXPECT_EQ(run_child({"convert", "/nowhere", "--quantize", "int8", "--output", out + "2"}).code, 3);
}

}  // namespace
}  // namespace polyphony::testing
