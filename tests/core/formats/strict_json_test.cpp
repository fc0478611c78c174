// SPDX-License-Identifier: Apache-2.0
// JSON of strangers is read within limits and without ambiguity.
#include "core/formats/strict_json.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/expect_error.h"

namespace polyphony::formats {
namespace {

TEST(StrictJson, ReadsWhatIsJson) {
  const auto value = parse_strict_json(R"({"a": [1, {"b": null}], "c": {"a": 1.5}})", "x");
  EXPECT_EQ(value["a"][1].size(), 1u);
  EXPECT_EQ(value["c"]["a"], 1.5);
  EXPECT_EQ(parse_strict_json("\xef\xbb\xbf{}\r\n", "x"), nlohmann::json::object());
}

TEST(StrictJson, TheSameKeyInDifferentObjectsIsFineAndTwiceInOneIsNot) {
  EXPECT_NO_THROW(parse_strict_json(R"([{"a":{"a":1}},{"a":2}])", "x"));
  EXPECT_REFUSED(DataError, parse_strict_json(R"({"a":{"b":1},"c":2,"a":3})", "x"), "[x]", "'a' twice");
  EXPECT_REFUSED(DataError, parse_strict_json(R"([[{"a":{},"\u0061":3}]])", "x"), "'a' twice");
}

TEST(StrictJson, SyntaxErrorsAndTrailingBytesAreRefused) {
  EXPECT_REFUSED(DataError, parse_strict_json("", "x"), "[x]");
  EXPECT_REFUSED(DataError, parse_strict_json("{\"a\":}", "x"), "column 6");
  EXPECT_REFUSED(DataError, parse_strict_json("{} {}", "x"), "[x]");
  EXPECT_REFUSED(DataError, parse_strict_json(std::string("{}\0{", 4), "x"), "NUL");
  EXPECT_REFUSED(DataError, parse_strict_json("\"\xff\"", "x"), "[x]");
  EXPECT_REFUSED(DataError, parse_strict_json("1e999", "x"), "[x]");
}

TEST(StrictJson, DepthAndSizeHaveLimits) {
  EXPECT_REFUSED(DataError, parse_strict_json(std::string(1'000'000, '['), "x"), "at most 64 deep");
  EXPECT_NO_THROW(parse_strict_json("[[[]]]", "x", {.max_depth = 3}));
  EXPECT_REFUSED(DataError, parse_strict_json("[[[1]]]", "x", {.max_depth = 3}), "at most 3 deep");
  EXPECT_REFUSED(DataError, parse_strict_json("[1,2]", "x", {.max_bytes = 4}), "at most 4 bytes");
}

}  // namespace
}  // namespace polyphony::formats
