// SPDX-License-Identifier: Apache-2.0
// Config: right values are read, every wrong one is refused with its place.
#include "core/base/config.h"

#include <gmock/gmock.h>

#include <clocale>
#include <fstream>

#include "core/error.h"

namespace polyphony {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class F>
std::string message_of(F&& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

constexpr auto kRecipe = R"(# a recipe
seed = 7
[model]
dim = 64
name = "tiny"
ratios = [0.5, 1]
[model.router]
kind = "topk"
[[data]]
path = "a"
[[data]]
path = "b"
weight = 2.5
)";

TEST(Config, ReadsEveryKindOfValue) {
  const auto config = Config::from_string(kRecipe, "r.toml");
  EXPECT_EQ(config.root().integer("seed", 0), 7);
  const Section model = config.section("model");
  EXPECT_EQ(model.required_integer("dim", {.min = 1}), 64);
  EXPECT_EQ(model.number("dim", 0), 64.0);
  EXPECT_EQ(model.text("name", ""), "tiny");
  EXPECT_THAT(model.numbers("ratios", {}), ElementsAre(0.5, 1.0));
  EXPECT_THAT(model.integers("sizes", {1, 2}), ElementsAre(1, 2));
  EXPECT_TRUE(model.flag("bias", true));
  EXPECT_EQ(model.section("router").required_text("kind", {"topk", "hash"}), "topk");
  const auto data = config.sections("data");
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[0].number("weight", 1), 1.0);
  EXPECT_EQ(data[1].number("weight", 1), 2.5);
  data[0].text("path", "");
  data[1].text("path", "");
  EXPECT_NO_THROW(config.check_all_used());
}

TEST(Config, AnAbsentSectionReadsAsDefaults) {
  const Config config;
  EXPECT_FALSE(config.section("train").given());
  EXPECT_EQ(config.section("train").section("optimizer").number("lr", 0.1), 0.1);
  EXPECT_TRUE(config.sections("data").empty());
  EXPECT_NO_THROW(config.check_all_used());
}

TEST(Config, UnknownKeysNameTheirLineAndTheNearestKnownKey) {
  const auto config =
      Config::from_string("[moe]\nnum_expert = 8\n[moe.router]\nkinb = \"topk\"\n[trian]\nlr = 1\n", "r.toml");
  config.section("moe").integer("num_experts", 4);
  config.section("moe").section("router").text("kind", "topk");
  config.section("train").number("lr", 1);
  EXPECT_EQ(message_of([&] { config.check_all_used(); }),
            "r.toml:2: unknown key 'moe.num_expert'; did you mean 'num_experts'?\n"
            "r.toml:4: unknown key 'moe.router.kinb'; did you mean 'kind'?\n"
            "r.toml:5: unknown key 'trian'; did you mean 'train'?");
}

TEST(Config, UnknownKeysInsideListsOfTablesAreFoundAndIgnoredOnesAreNot) {
  const auto config = Config::from_string("[[data]]\npath = 'a'\nwieght = 1\n[notes]\nany = 1\n", "r.toml");
  config.sections("data").front().text("path", "");
  config.sections("data").front().number("weight", 1);
  config.root().ignore("notes");
  EXPECT_EQ(message_of([&] { config.check_all_used(); }),
            "r.toml:3: unknown key 'data[0].wieght'; did you mean 'weight'?");
}

TEST(Config, AMissingRequiredKeyIsNamed) {
  const auto config = Config::from_string("\n[model]\n", "r.toml");
  EXPECT_EQ(message_of([&] { config.section("model").required_integer("dim"); }),
            "r.toml:2: model.dim is missing: expected an integer");
}

TEST(Config, RulesBetweenKeysNameTheKeysLine) {
  const auto config = Config::from_string("[model]\ndim = 64\nheads = 7\n", "r.toml");
  EXPECT_EQ(message_of([&] { config.section("model").require(false, "heads", "must divide model.dim"); }),
            "r.toml:3: model.heads = 7: must divide model.dim");
}

TEST(Config, TheResolvedConfigReadsBackToTheSameValues) {
  const auto read = [](const Config& config) {
    config.root().integer("seed", 0);
    const auto model = config.section("model");
    model.number("lr", 3e-4);
    model.number("big", 1e30);
    model.text("name", "a \"quoted\"\n\x01 line\\");
    model.numbers("ratios", {1, 0.1});
    model.texts("empty", {});
    model.section("router").flag("noisy", false);
    model.section("odd name").flag("x y", true);
    for (const auto& data : config.sections("data")) data.number("weight", 1);
    config.check_all_used();
    return config.to_toml();
  };
  const auto first = read(Config::from_string("seed = 1\n[model]\nname = 'x'\n[[data]]\n[[data]]\nweight = 2\n", "a"));
  EXPECT_EQ(read(Config::from_string(first, "b")), first);
  EXPECT_THAT(first, HasSubstr("lr = 3e-04\n"));
  EXPECT_THAT(first, HasSubstr("[[data]]\nweight = 1.0\n\n[[data]]\nweight = 2.0\n"));
  const auto defaults = read(Config());
  EXPECT_EQ(read(Config::from_string(defaults, "b")), defaults);
}

TEST(Config, WhatWasOnlyAskedAboutIsNotInTheResolvedConfig) {
  const auto config = Config::from_string("[a]\nb = [1, 'x']\n[c]\n", "r.toml");
  EXPECT_THROW(config.section("a").section("b"), ConfigError);
  EXPECT_FALSE(config.section("a").has("d"));
  config.section("c").section("e");
  EXPECT_EQ(config.to_toml(), "");
}

TEST(Config, FilesThenEnvironmentThenFlagsOverride) {
  auto config = Config::from_string("[train]\nlr = 1\nsteps = 5\n[[data]]\npath = 'a'\n", "base.toml");
  config.merge(Config::from_string("[train]\nlr = 2\nname = 'over'\n", "over.toml"));
  const char* const environment[] = {"POLYPHONY_TRAIN__LR=3", "POLYPHONY_HOME=/x", "HOME=/y", nullptr};
  config.set_from_environment(environment);
  config.set("train.betas", "[0.9, 0.95]", "--set train.betas");
  config.set("train.tags", "a, 'b'", "--set train.tags");
  config.set("train.resume", "true", "--set train.resume");
  config.set("data.0.path", "c", "--set data.0.path");
  config.set("new.table.key", "4", "--set new.table.key");
  const auto train = config.section("train");
  EXPECT_EQ(train.number("lr", 0), 3.0);
  EXPECT_EQ(train.integer("steps", 0), 5);
  EXPECT_EQ(train.text("name", ""), "over");
  EXPECT_THAT(train.numbers("betas", {}), ElementsAre(0.9, 0.95));
  EXPECT_THAT(train.texts("tags", {}), ElementsAre("a", "b"));
  EXPECT_TRUE(train.flag("resume", false));
  EXPECT_EQ(config.sections("data").at(0).text("path", ""), "c");
  EXPECT_EQ(config.section("new").section("table").integer("key", 0), 4);
  EXPECT_NO_THROW(config.check_all_used());
}

TEST(Config, AWrongOverrideNamesItsSource) {
  Config config;
  const char* const environment[] = {"POLYPHONY_TRAIN__LR=abc", nullptr};
  config.set_from_environment(environment);
  EXPECT_EQ(message_of([&] { config.section("train").number("lr", 1); }),
            "environment variable POLYPHONY_TRAIN__LR: train.lr: expected a number, got the text 'abc'");
  auto other = Config::from_string("[train]\nlr = 1\n", "r.toml");
  EXPECT_THAT(message_of([&] { other.set("train.lr.x", "1", "--set"); }),
              HasSubstr("--set: expected a table above 'x'"));
  EXPECT_THAT(message_of([&] { other.set("train.lr", "\xFF", "--set"); }), HasSubstr("--set: expected UTF-8 text"));
  EXPECT_THAT(message_of([&] { other.set("train..x", "1", "--set"); }), HasSubstr("--set: expected a key"));
}

TEST(Config, ReadsJsonOfTheSameShape) {
  const auto config = Config::from_json_string(
      "\xEF\xBB\xBF{\n \"model\": {\n  \"dim\": 64,\n  \"lr\": 1.5,\n  \"layers\": [1, 2]},\n"
      " \"data\": [{\"path\": \"a\"}]}",
      "r.json");
  EXPECT_EQ(config.section("model").integer("dim", 0), 64);
  EXPECT_THAT(config.section("model").integers("layers", {}), ElementsAre(1, 2));
  EXPECT_EQ(config.sections("data").at(0).text("path", ""), "a");
  EXPECT_EQ(message_of([&] { config.check_all_used(); }), "r.json:4: unknown key 'model.lr'");
}

TEST(Config, AVersionNewerThanTheProgramIsRefused) {
  EXPECT_EQ(Config().check_version(1), 1);
  EXPECT_THAT(message_of([&] { Config::from_string("config_version = 9\n", "r.toml").check_version(1); }),
              HasSubstr("r.toml:1: config_version = 9: this program reads versions up to 1"));
}

TEST(Config, NumbersKeepTheirPointInALocaleWithACommaForIt) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  if (!std::setlocale(LC_ALL, "de_DE.UTF-8")) GTEST_SKIP() << "the de_DE locale is not installed";
  const auto toml = Config::from_string("x = 1.5\n", "r.toml");
  const auto json = Config::from_json_string("{\"x\": 1.5}", "r.json");
  auto flags = Config();
  flags.set("x", "1.5", "--set");
  EXPECT_EQ(toml.root().number("x", 0), 1.5);
  EXPECT_EQ(json.root().number("x", 0), 1.5);
  EXPECT_EQ(flags.root().number("x", 0), 1.5);
  EXPECT_EQ(toml.to_toml(), "x = 1.5\n");
  std::setlocale(LC_ALL, before.c_str());
}

// A text, how it is read, and a part of the error it must give.
struct BadCase {
  const char* name;
  std::string text;
  const char* error;
  bool json = false;
};

void read_all(const Config& config) {
  const auto root = config.root();
  root.integer("experts", 8, {.min = 1, .max = 4096});
  root.number("capacity", 1.25, {.above = 0});
  root.number("dropout", 0, {.min = 0, .below = 1});
  root.number("lr", 1e-3, {.above = 0});
  root.text("router", "topk", {"topk", "expert_choice"});
  root.flag("bias", false);
  root.integers("layers", {}, {.min = 0});
  root.section("model").integer("dim", 64);
  root.sections("data");
  config.check_all_used();
}

class BadConfig : public testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, IsRefusedWithItsPlaceAndReason) {
  const auto& bad = GetParam();
  const auto error = message_of([&] {
    read_all(bad.json ? Config::from_json_string(bad.text, "r.json") : Config::from_string(bad.text, "r.toml"));
  });
  EXPECT_THAT(error, HasSubstr(bad.error));
}

std::string repeat(const std::string& part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += part;
  return out;
}

const std::vector<BadCase> kBadCases = {
    {"SyntaxError", "a = 1\nlr == 3\n", "r.toml:2:"},
    {"SyntaxErrorShowsTheLine", "a = 1\nlr == 3\n", "lr == 3"},
    {"ABacktickInAHeader", "a = 1\n[[`{\"\nb = 2\n", "r.toml:2:1: expected TOML"},
    {"UnclosedString", "a = \"x\nb = 1\n", "r.toml:1:"},
    {"JsonSyntaxError", "{\n \"a\": 1,,\n}", "r.json:2:9:", true},
    {"JsonTrailingText", "{} x", "r.json:1:4:", true},
    {"JsonEmpty", "", "r.json:1:", true},
    {"JsonNotAnObject", "[1]", "expected an object", true},
    {"UnknownKey", "num_expert = 8\nexperts = 8\n", "r.toml:1: unknown key 'num_expert'"},
    {"IncludeIsNoKey", "include = '../x.toml'\n", "unknown key 'include'"},
    {"StringForInteger", "experts = \"8\"\n", "r.toml:1: experts: expected an integer, got a string \"8\""},
    {"FractionForInteger", "experts = 8.5\n", "expected an integer, got a number 8.5"},
    {"WholeNumberForInteger", "experts = 8.0\n", "expected an integer, got a number 8.0"},
    {"FlagForInteger", "experts = true\n", "expected an integer, got a flag true"},
    {"NullForInteger", "{\"experts\": null}", "expected an integer, got null", true},
    {"ListForInteger", "experts = []\n", "expected an integer, got a list [...]"},
    {"TableForInteger", "[experts]\n", "expected an integer, got a table {...}"},
    {"IntegerForString", "router = 1\n", "expected a string, got an integer 1"},
    {"IntegerForFlag", "bias = 1\n", "expected true or false, got an integer 1"},
    {"IntegerForTable", "model = 1\n", "expected a table [model], got an integer"},
    {"TableForTables", "[data]\n", "expected tables [[data]], got a table"},
    {"MixedList", "data = [1, {}]\n", "expected tables [[data]], got a list"},
    {"StringInListOfIntegers", "layers = [1, \"2\"]\n", "expected a list, each item an integer"},
    {"ItemOutOfRange", "layers = [1, -2]\n", "expected a list whose items are at least 0"},
    {"DateValue", "lr = 2020-01-01\n", "got a date"},
    {"ZeroExperts", "experts = 0\n", "experts: expected in [1, 4096], got 0"},
    {"NegativeExperts", "experts = -1\n", "expected in [1, 4096], got -1"},
    {"BillionExperts", "experts = 1000000000\n", "expected in [1, 4096], got 1000000000"},
    {"IntegerOverflow", "experts = 99999999999999999999\n", "r.toml:1:"},
    {"JsonIntegerOverflow", "{\"experts\": 18446744073709551615}", "fits in 64 bits", true},
    {"ZeroCapacity", "capacity = 0\n", "capacity: expected above 0.0, got 0"},
    {"DropoutAboveOne", "dropout = 1.5\n", "expected at least 0.0 and below 1.0, got 1.5"},
    {"NotANumber", "lr = nan\n", "lr: expected finite, got nan"},
    {"Infinite", "lr = inf\n", "lr: expected finite, got inf"},
    {"NegativeRate", "lr = -0.1\n", "lr: expected above 0.0, got -0.1"},
    {"UnknownChoice", "router = \"topj\"\n", "expected one of topk, expert_choice; did you mean 'topk'?, got \"topj\""},
    {"DuplicateKey", "a = 1\na = 2\n", "r.toml:2:"},
    {"DuplicateJsonKey", "{\"a\": 1,\n \"a\": 2}", "r.json:2: expected each key once, got 'a' again", true},
    {"DeepList", "a = " + repeat("[", 100000), "r.toml:1:"},
    {"DeepKey", repeat("a.", 100000) + "a = 1\n", "r.toml:1: expected at most 64 names in a dotted key"},
    {"DeepQuotedKey", repeat("\"a\" . ", 1000) + "a = 1\n", "names in a dotted key"},
    {"DeepHeaderWithInlineTables", "[" + repeat("a.", 60) + "a]\nb = {" + repeat("c.", 60) + "c = 1}\n",
     "nested tables"},
    {"DeepJson", repeat("[", 100000), "expected at most 64 nested values", true},
    {"DeepJsonObjects", repeat("{\"a\":", 100000), "expected at most 64 nested values", true},
    {"NulBytes", std::string("a = 1\0\n", 7), "got NUL bytes"},
    {"Utf16",
     std::string("\xFF\xFE"
                 "a\0=\0",
                 6),
     "got UTF-16"},
    {"NotUtf8", "a = 1\nb = \"\xFF\"\n", "r.toml:2:1: expected UTF-8"},
    {"TooLarge", "#" + std::string(1 << 20, 'x'), "expected at most 1.0 MiB"},
};

INSTANTIATE_TEST_SUITE_P(Table, BadConfig, testing::ValuesIn(kBadCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Config, AcceptsAByteOrderMarkAndCarriageReturns) {
  const auto config = Config::from_string("\xEF\xBB\xBF[model]\r\ndim = 3\r\n", "r.toml");
  EXPECT_EQ(config.section("model").integer("dim", 0), 3);
}

TEST(Config, DotsInNumbersStringsAndCommentsAreNoDepth) {
  const auto config =
      Config::from_string("# " + std::string(200, '.') + "\nx = [" + repeat("1.0, ", 200) + "]\ny = '''\n" +
                              std::string(200, '.') + "\n'''\nz = \"" + std::string(200, '.') + "\"\n",
                          "r.toml");
  EXPECT_EQ(config.root().numbers("x", {}).size(), 200u);
}

TEST(Config, FilesThatAreNoRecipesAreRefusedBeforeReading) {
  const std::string folder = testing::TempDir() + "polyphony_config_test";
  std::filesystem::create_directories(folder);
  EXPECT_THAT(message_of([&] { Config::from_file(folder + "/none.toml"); }), HasSubstr("no such file"));
  EXPECT_THAT(message_of([&] { Config::from_file(folder); }), HasSubstr("expected a regular file"));
  EXPECT_THAT(message_of([&] { Config::from_file("/dev/zero"); }), HasSubstr("expected a regular file"));
  const std::string huge = folder + "/huge.toml";
  std::ofstream(huge).close();
  std::filesystem::resize_file(huge, uint64_t{1} << 30);
  EXPECT_THAT(message_of([&] { Config::from_file(huge); }), HasSubstr("expected at most 1.0 MiB, got 1.0 GiB"));
  std::ofstream(folder + "/empty.toml").close();
  EXPECT_EQ(Config::from_file(folder + "/empty.toml").root().integer("x", 3), 3);
  std::ofstream(folder + "/x.json") << "{\"x\": 5}";
  EXPECT_EQ(Config::from_file(folder + "/x.json").root().integer("x", 3), 5);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace polyphony
