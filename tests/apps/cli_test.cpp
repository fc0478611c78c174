// SPDX-License-Identifier: Apache-2.0
// What the command line does with wrong words, as a table: arguments -> exit code and what is said where.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/formats/safetensors.h"
#include "pipelines/session.h"
#include "tests/apps/child.h"
#include "tests/support/fake_session.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::testing {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> arguments;  // {T}: the test's folder
  int code;
  const char* out;  // in stdout; empty: stdout must be empty
  const char* err;  // in stderr
};

// One folder with everything that the cases name.
const TemporaryFolder& fixture() {
  static const auto folder = [] {
    auto made = std::make_unique<TemporaryFolder>();
    const auto& at = *made;
    std::ofstream(at / "empty.png").flush();
    std::ofstream(at / "words.png") << "these are words";
    std::ofstream(at / "empty.safetensors").flush();
    std::ofstream(at / "torn.safetensors") << "\x10";
    std::ofstream(at / "lfs.safetensors") << "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    std::ofstream(at / "a_file") << "x";
    std::ofstream(at / "bad.toml") << "[train\n";
    std::ofstream(at / "empty.jsonl").flush();
    std::ofstream(at / "there.png") << "x";
    std::filesystem::create_directories(at / "full");
    std::ofstream(at / "full/mine.txt") << "x";
    std::filesystem::create_directories(at / "no_config");
    std::filesystem::create_directories(at / "vae");
    std::ofstream(at / "vae/config.json") << R"({"_class_name": "AutoencoderKL"})";
    std::filesystem::create_directories(at / "strange");
    std::ofstream(at / "strange/config.json") << R"({"model_type": "strange"})";
    const std::vector<float> values{1, 2, 3, 4};
    const auto bytes = std::as_bytes(std::span(values));
    formats::write_safetensors(at / "ok.safetensors", {{"x", formats::DType::f32, {2, 2}, bytes}});
    formats::write_safetensors(at / "strange/model.safetensors", {{"x", formats::DType::f32, {4}, bytes}});
    const std::vector<float> bad{1, NAN};
    formats::write_safetensors(at / "nan.safetensors",
                               {{"x", formats::DType::f32, {2}, std::as_bytes(std::span(bad))}});
    const pipelines::GenerateRequest used{.prompt = "a circle", .steps = 4, .guidance = 2.0, .seed = 7};
    pipelines::save_picture({fake_picture(7), 7, pipelines::parameters_json(used, 7, "m")},
                            {.file = (at / "drawn.png").string()});
    return made;
  }();
  return *folder;
}

std::vector<std::string> filled(std::vector<std::string> words) {
  for (auto& word : words)
    if (const auto place = word.find("{T}"); place != std::string::npos)
      word.replace(place, 3, fixture().path().string());
  return words;
}

ChildOptions with_input(const std::string& input) {
  ChildOptions options;
  options.input = input;
  return options;
}

class CommandLine : public ::testing::TestWithParam<Case> {};

TEST_P(CommandLine, SaysWhatIsWrongAndHow) {
  const auto& expected = GetParam();
  const auto result = run_child(filled(expected.arguments));
  EXPECT_EQ(result.code, expected.code) << result.out << result.err;
  EXPECT_NE(result.err.find(expected.err), std::string::npos) << result.err;
  if (std::string_view(expected.out).empty()) {
    EXPECT_EQ(result.out, "");
  } else {
    EXPECT_NE(result.out.find(expected.out), std::string::npos) << result.out;
  }
}

Case generate(const char* name, std::vector<std::string> more, const char* says) {
  std::vector<std::string> words{"generate", "--prompt", "x", "--output", "{T}/new.png"};
  words.insert(words.end(), more.begin(), more.end());
  return {name, words, 2, "", says};
}

std::string case_name(const ::testing::TestParamInfo<Case>& test) { return test.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Words, CommandLine,
    ::testing::Values(
        Case{"NoWords", {}, 2, "", "subcommand"}, Case{"UnknownCommand", {"genrate"}, 2, "", "did you mean 'generate'"},
        Case{"UnknownFlag", {"generate", "--prmopt", "x"}, 2, "", "did you mean '--prompt'"},
        Case{"FlagOfAnotherCommand", {"doctor", "--prompt", "x"}, 2, "", "unknown flag '--prompt'"},
        Case{"ExtraWord", {"doctor", "now"}, 2, "", "did not expect 'now'"},
        Case{"MissingValue", {"generate", "--prompt"}, 2, "", "--prompt"},
        Case{"MissingOutput", {"generate", "--prompt", "x"}, 2, "", "--output"},
        Case{"MissingPrompt", {"generate", "--output", "{T}/new.png"}, 2, "", "--prompt, --class or --from-image"},
        Case{"MissingFile", {"caption"}, 2, "", "FILE"}, Case{"HelpAlone", {"--help"}, 0, "generate", ""},
        Case{"HelpWithNothingElse", {"generate", "--help"}, 0, "Examples:", ""},
        Case{"HelpAfterAnUnknownFlag", {"generate", "--bogus", "--help"}, 0, "--prompt", ""},
        Case{"HelpOfACommand", {"help", "batch"}, 0, "--resume", ""},
        Case{"HelpOfNothing", {"help", "batsh"}, 2, "", "did you mean 'batch'"},
        Case{"VersionOfACommand", {"train", "--version"}, 0, "polyphony ", ""},
        Case{"CompletionOfAnUnknownShell", {"completion", "tcsh"}, 2, "", "one of bash"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Values, CommandLine,
    ::testing::Values(
        generate("StepsZero", {"--steps", "0"}, "from 1 to 1000, got '0'"),
        generate("StepsNegative", {"--steps", "-1"}, "got '-1'"),
        generate("StepsExponent", {"--steps", "1e3"}, "got '1e3'"),
        generate("StepsHuge", {"--steps", "100000000000000000000"}, "--steps"),
        generate("StepsWord", {"--steps", "abc"}, "got 'abc'"), generate("StepsEmpty", {"--steps="}, "--steps"),
        generate("StepsHex", {"--steps", "0x10"}, "got '0x10'"), generate("StepsBlank", {"--steps", " 5"}, "got ' 5'"),
        generate("StepsPlus", {"--steps", "+5"}, "got '+5'"),
        generate("GuidanceNan", {"--guidance", "nan"}, "--guidance"),
        generate("GuidanceInfinite", {"--guidance", "inf"}, "--guidance"),
        generate("GuidanceNegative", {"--guidance", "-2"}, "got '-2'"),
        generate("SeedNegative", {"--seed", "-1"}, "--seed"),
        generate("SeedHuge", {"--seed", "18446744073709551616"}, "--seed"),
        generate("CountZero", {"--count", "0"}, "--count"), generate("DeviceUnknown", {"--device", "tpu"}, "cpu, cuda"),
        generate("DeviceNumberWrong", {"--device", "cuda:x"}, "cuda:N"),
        generate("DtypeUnknown", {"--dtype", "int3"}, "auto, float32, bfloat16"),
        generate("ThreadsZero", {"--threads", "0"}, "--threads"),
        generate("ProgressUnknown", {"--progress", "loud"}, "auto, json, none"),
        Case{"PromptMissing",
             {"generate", "--output", "{T}/new.png"},
             2,
             "",
             "--prompt, --class or --from-image is required"},
        Case{"PromptNotUtf8", {"generate", "--prompt", "\xff\xfe", "--output", "{T}/new.png"}, 2, "", "UTF-8"},
        Case{"PromptFileMissing", {"generate", "--prompt", "@{T}/none", "--output", "{T}/new.png"}, 3, "", "none"},
        Case{"ResumeAndOverwrite", {"batch", "x", "--output", "y", "--resume", "--overwrite"}, 2, "", "--resume"},
        Case{"ResumeAndInitFrom", {"train", "x", "--resume", "auto", "--init-from", "y"}, 2, "", "--resume"},
        Case{"StdoutTwice", {"generate", "--prompt", "x", "--output", "-", "--json"}, 2, "error", "both want stdout"},
        Case{"SeveralPicturesToStdout",
             {"generate", "--prompt", "x", "--output", "-", "--count", "2"},
             2,
             "",
             "one picture"}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Files, CommandLine,
    ::testing::Values(
        Case{"OutputIsThere", {"generate", "--prompt", "x", "--output", "{T}/there.png"}, 2, "", "--overwrite"},
        Case{"OutputIsAFolder", {"generate", "--prompt", "x", "--output", "{T}/full"}, 2, "", "folder"},
        Case{"OutputUnderAFile", {"generate", "--prompt", "x", "--output", "{T}/a_file/x.png"}, 1, "", "[output]"},
        Case{"OutputNotWritable", {"generate", "--prompt", "x", "--output", "/proc/x.png"}, 1, "", "/proc"},
        Case{"ModelMissing",
             {"generate", "--prompt", "x", "--output", "{T}/n1.png", "--model", "{T}/none"},
             3,
             "",
             "none"},
        Case{"FromImageWithoutParameters",
             {"generate", "--from-image", "{T}/words.png", "--output", "{T}/n2.png"},
             3,
             "",
             "words.png"},
        Case{"CaptionMissing", {"caption", "{T}/none.png"}, 3, "", "none.png"},
        Case{"CaptionAllMissing", {"caption", "{T}/none.png", "{T}/nil.png"}, 3, "", "none of the 2 files is one"},
        Case{"CaptionFolder", {"caption", "{T}/full"}, 3, "", "full"},
        Case{"CaptionAddress", {"caption", "https://example.com/x.png"}, 2, "", "local file"},
        Case{"BatchMissing", {"batch", "{T}/none.jsonl", "--output", "{T}/b1"}, 3, "", "none.jsonl"},
        Case{"BatchEmpty", {"batch", "{T}/empty.jsonl", "--output", "{T}/b2"}, 3, "", "no request"},
        Case{"BatchOutputIsAFile", {"batch", "{T}/words.png", "--output", "{T}/a_file"}, 1, "", "a_file"},
        Case{"BatchOutputIsFull", {"batch", "{T}/words.png", "--output", "{T}/full"}, 2, "", "not empty"},
        Case{"BatchNothingToResume",
             {"batch", "{T}/words.png", "--output", "{T}/b3", "--resume"},
             2,
             "",
             "no batch to resume"},
        Case{"BatchOfOneBadLine", {"batch", "{T}/words.png", "--output", "{T}/b4"}, 5, "1 failed", "JSON"},
        Case{"RecipeMissing", {"train", "{T}/none.toml"}, 3, "", "none.toml"},
        Case{"RecipeNotToml", {"train", "{T}/bad.toml"}, 2, "", "bad.toml"},
        Case{"InspectMissing", {"inspect", "{T}/none"}, 3, "", "none"},
        Case{"InspectEmpty", {"inspect", "{T}/empty.safetensors"}, 3, "", "empty.safetensors"},
        Case{"InspectTorn", {"inspect", "{T}/torn.safetensors"}, 3, "", "torn.safetensors"},
        Case{"InspectLfsPointer", {"inspect", "{T}/lfs.safetensors"}, 3, "", "Git LFS"},
        Case{"InspectEmptyFolder", {"inspect", "{T}/no_config"}, 3, "", "no_config"},
        Case{"InspectNan", {"inspect", "{T}/nan.safetensors"}, 3, "NaN", "NaN"},
        Case{"InspectWeights", {"inspect", "{T}/ok.safetensors"}, 0, "all values finite", ""},
        Case{"InspectModel", {"inspect", "{T}/strange"}, 0, "strange", ""},
        Case{"InspectPicture", {"inspect", "{T}/drawn.png"}, 0, "a circle", ""},
        Case{"InspectRouters", {"inspect", "--routers"}, 0, "topk", ""},
        Case{"InspectExperts", {"inspect", "--experts"}, 0, "zero_computation", ""},
        Case{"InspectLosses", {"inspect", "--losses"}, 0, "heterogeneous_balance", ""},
        Case{"ForwardList", {"forward", "--list"}, 0, "AutoencoderKL", ""},
        Case{"ForwardWithoutModel", {"forward", "--input", "a", "--output", "b"}, 2, "", "--model"},
        Case{"ForwardUnknownModel",
             {"forward", "--model", "{T}/strange", "--input", "{T}/ok.safetensors", "--output", "{T}/o1.safetensors"},
             3,
             "",
             "AutoencoderKL"},
        Case{"ForwardMissingInput",
             {"forward", "--model", "{T}/vae", "--input", "{T}/ok.safetensors", "--output", "{T}/o2.safetensors"},
             3,
             "",
             "'image' is missing"}),
    case_name);

TEST(CommandLineJson, IsOneDocumentAlsoForAnError) {
  const std::vector<std::vector<std::string>> failures = {
      {"inspect", "{T}/none", "--json"}, {"generate", "--steps", "x", "--json"}, {"genrate", "--json"}};
  for (const auto& words : failures) {
    const auto result = run_child(filled(words));
    EXPECT_NE(result.code, 0);
    const auto document = nlohmann::json::parse(result.out);
    EXPECT_EQ(document["error"]["exit_code"], result.code);
    EXPECT_FALSE(document["error"]["message"].get<std::string>().empty());
  }
  const auto fine = run_child(filled({"inspect", "{T}/ok.safetensors", "--json"}));
  EXPECT_EQ(nlohmann::json::parse(fine.out)["parameters_total"], 4);
}

TEST(CommandLineStreams, AFullOrClosedStdoutIsAFailureWithItsReason) {
  ChildOptions full_output;
  full_output.output = "/dev/full";
  ChildOptions closed_output;
  closed_output.close_output = true;
  const auto full = run_child({"--help"}, full_output);
  EXPECT_EQ(full.code, 1);
  EXPECT_NE(full.err.find("No space left"), std::string::npos) << full.err;
  const auto closed = run_child({"--help"}, closed_output);
  EXPECT_EQ(closed.code, 1);
  EXPECT_NE(closed.err.find("errno"), std::string::npos) << closed.err;
}

TEST(CommandLineStreams, StandardInputIsAFileLikeAnyOther) {
  const auto bytes = read_file(fixture() / "ok.safetensors", 1 << 20);
  const auto result = run_child({"inspect", "-"}, with_input(bytes));
  EXPECT_EQ(result.code, 0) << result.err;
  const auto prompt = run_child(filled({"generate", "--prompt", "-", "--output", "{T}/n3.png", "--model", "{T}/none"}),
                                with_input("a circle\n"));
  EXPECT_EQ(prompt.code, 3) << prompt.err;
}

TEST(CommandLineSignals, EndItWithTheirExitCodes) {
  const auto pipe = fixture() / ("pipe" + std::to_string(::getpid()));
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  ChildOptions waiting;
  waiting.input_file = pipe.string();
  waiting.kill_after_ms = 1500;
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    waiting.kill_signal = signal;
    EXPECT_EQ(run_child({"caption", "-"}, waiting).code, code);
  }
}

TEST(CommandLinePrompt, AHundredKilobytesReachTheModel) {
  const auto result = run_child(
      filled({"generate", "--prompt", std::string(100'000, 'x'), "--output", "{T}/n4.png", "--model", "{T}/none"}));
  EXPECT_EQ(result.code, 3) << result.err;
}

TEST(Completion, IsBashAndKnowsEveryFlagOfTheHelp) {
  const auto script = run_child({"completion", "bash"});
  ASSERT_EQ(script.code, 0) << script.err;
  const auto file = fixture() / "completion.bash";
  std::ofstream(file) << script.out;
  EXPECT_EQ(std::system(("bash -n " + file.string()).c_str()), 0);
  for (const auto* command : {"generate", "caption", "batch", "train", "eval", "inspect", "forward", "doctor"}) {
    const auto help = run_child({command, "--help"}).out;
    const auto section = script.out.find(std::string("    ") + command + ")");
    const auto flags = script.out.substr(section, script.out.find(";;\n", section) - section) + " ";
    for (size_t at = help.find("--"); at != std::string::npos; at = help.find("--", at + 2)) {
      const auto end = help.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at);
      const auto flag = help.substr(at, end - at);
      const bool is_flag = flag.size() > 2 && at < help.find("Examples:");
      EXPECT_TRUE(!is_flag || flags.find(flag) != std::string::npos) << command << " " << flag;
    }
  }
  const auto offered =
      "source " + file.string() +
      "; COMP_WORDS=(polyphony generate --st); COMP_CWORD=2; _polyphony; [[ ${COMPREPLY[*]} == --steps ]]";
  EXPECT_EQ(std::system(("bash -c '" + offered + "'").c_str()), 0);
}

}  // namespace
}  // namespace polyphony::testing
