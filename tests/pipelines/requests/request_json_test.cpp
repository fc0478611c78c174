// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "pipelines/session.h"

namespace polyphony::pipelines {
namespace {

GenerateRequest full_request() {
  return {.prompt = "a \"red\" circle\nünder a star",
          .steps = 30,
          .guidance = 2.5,
          .seed = 18446744073709551615u,
          .count = 3};
}

TEST(RequestJson, ReadsBackWhatItWrites) {
  const auto request = full_request();
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(to_json(request))), request);
  const GenerateRequest plain{.prompt = "x", .steps = {}, .guidance = {}, .seed = {}};
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(to_json(plain))), plain);
  const CaptionRequest caption{.file = "a b.png", .image = {}, .max_tokens = 9};
  EXPECT_EQ(std::get<CaptionRequest>(request_from_json(to_json(caption))), caption);
}

TEST(RequestJson, NamesAClassByNumberOrByName) {
  const GenerateRequest number{.class_label = "207", .sampler = "ddim", .seed = 1};
  EXPECT_EQ(to_json(number), R"({"class":207,"count":1,"sampler":"ddim","schema":"polyphony.generate/1","seed":1})");
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(to_json(number))), number);
  const GenerateRequest name{.class_label = "golden retriever"};
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(to_json(name))), name);
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(R"({"class": 3})")).class_label, "3");
}

TEST(RequestJson, HasOneSpellingForAllFrontEnds) {
  EXPECT_EQ(to_json(GenerateRequest{.prompt = "x", .steps = 4, .guidance = 2.0, .seed = 1}),
            R"({"count":1,"guidance":2.0,"prompt":"x","schema":"polyphony.generate/1","seed":1,"steps":4})");
}

TEST(RequestJson, TellsTheKindByTheKeysWhereTheSchemaIsLeftOut) {
  EXPECT_TRUE(std::holds_alternative<GenerateRequest>(request_from_json(R"({"prompt": "x"})")));
  EXPECT_EQ(std::get<GenerateRequest>(request_from_json(R"({"prompt": ""})")).prompt, "") << "draws anything";
  EXPECT_TRUE(std::holds_alternative<CaptionRequest>(request_from_json(R"({"file": "x.png"})")));
}

TEST(RequestJson, ParametersOfAPictureAreARequestThatRepeatsIt) {
  auto used = full_request();
  const auto again = std::get<GenerateRequest>(request_from_json(parameters_json(used, 12, "scenes 3f")));
  used.count = 1;
  used.seed = 12;
  EXPECT_EQ(again, used);
}

struct BadRequest {
  const char* text;
  const char* says;
};

class BadRequestJson : public ::testing::TestWithParam<BadRequest> {};

TEST_P(BadRequestJson, IsRefusedNamingTheKey) {
  try {
    request_from_json(GetParam().text);
    FAIL() << "accepted " << GetParam().text;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(GetParam().says), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, BadRequestJson,
                         ::testing::Values(BadRequest{"", "JSON"}, BadRequest{"{", "JSON"}, BadRequest{"[]", "object"},
                                           BadRequest{"{}", "'prompt'"}, BadRequest{R"({"prompt": 5})", "'prompt'"},
                                           BadRequest{R"({"prompt": "a\u0000b"})", "NUL"},
                                           BadRequest{R"({"prompt": "x", "promt": "y"})", "did you mean 'prompt'"},
                                           BadRequest{R"({"prompt": "x", "prompt": "y"})", "twice"},
                                           BadRequest{R"({"prompt": "x", "steps": 0})", "steps"},
                                           BadRequest{R"({"prompt": "x", "steps": 1.5})", "'steps'"},
                                           BadRequest{R"({"prompt": "x", "steps": "9"})", "'steps'"},
                                           BadRequest{R"({"prompt": "x", "steps": 1e3})", "'steps'"},
                                           BadRequest{R"({"prompt": "x", "steps": 18446744073709551615})", "'steps'"},
                                           BadRequest{R"({"prompt": "x", "seed": -1})", "'seed'"},
                                           BadRequest{R"({"prompt": "x", "guidance": -1})", "guidance"},
                                           BadRequest{R"({"prompt": "x", "guidance": 1e999})", ""},
                                           BadRequest{R"({"prompt": "x", "count": 100000})", "count"},
                                           BadRequest{R"({"schema": "polyphony.generate/2", "prompt": "x"})",
                                                      "polyphony.generate/1"},
                                           BadRequest{R"({"schema": "polyphony.caption/1"})", "'file'"},
                                           BadRequest{R"({"file": "https://example.com/x.png"})", "local"},
                                           BadRequest{R"({"file": "x.png", "max_tokens": 0})", "max_tokens"},
                                           BadRequest{R"({"prompt": "x"} {"prompt": "y"})", "JSON"}));

TEST(RequestJson, ASeedAtRandomIsSmallEnoughForEveryFrontEnd) {
  for (int i = 0; i < 100; ++i) EXPECT_LT(random_seed(), uint64_t{1} << 32);
}

struct ErrorCase {
  std::exception_ptr error;
  ExitCode code;
  const char* word;
};

TEST(ErrorReport, HasOneExitCodeForEachErrorType) {
  const ErrorCase cases[] = {
      {std::make_exception_ptr(UsageError("x")), ExitCode::usage, "usage"},
      {std::make_exception_ptr(ConfigError("x")), ExitCode::usage, "config"},
      {std::make_exception_ptr(DataError("x")), ExitCode::bad_input, "data"},
      {std::make_exception_ptr(ShapeError("x")), ExitCode::bad_input, "shape"},
      {std::make_exception_ptr(DeviceError("x")), ExitCode::bad_input, "device"},
      {std::make_exception_ptr(MemoryError("x")), ExitCode::memory, "memory"},
      {std::make_exception_ptr(std::bad_alloc()), ExitCode::memory, "memory"},
      {std::make_exception_ptr(NonFiniteError("x")), ExitCode::non_finite, "non_finite"},
      {std::make_exception_ptr(CancelledError("x")), ExitCode::interrupted, "cancelled"},
      {std::make_exception_ptr(Error("x")), ExitCode::failure, "failure"},
      {std::make_exception_ptr(std::logic_error("x")), ExitCode::failure, "failure"},
      {std::make_exception_ptr(5), ExitCode::failure, "failure"},
  };
  for (const auto& [error, code, word] : cases) {
    EXPECT_EQ(report_error(error).exit_code, code) << word;
    EXPECT_EQ(report_error(error).code, word);
  }
}

}  // namespace
}  // namespace polyphony::pipelines
