// SPDX-License-Identifier: Apache-2.0
#include "core/base/text.h"

#include <gmock/gmock.h>

#include <limits>

namespace polyphony {
namespace {

using testing::ElementsAre;

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("trian", "train"), 1);
  EXPECT_EQ(edit_distance("num_expert", "num_experts"), 1);
}

TEST(NearestName, FindsASlipButNotAnotherWord) {
  const std::vector<std::string> names = {"learning_rate", "num_experts", "lr"};
  EXPECT_EQ(nearest_name("learnign_rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("experts_num", names), std::nullopt);
  EXPECT_EQ(nearest_name("xy", names), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100000, 'a'), names), std::nullopt);
  EXPECT_EQ(did_you_mean("num_expert", names), "; did you mean 'num_experts'?");
  EXPECT_EQ(did_you_mean("zzzzzz", names), "");
}

TEST(Utf8, FollowsTheTableOfWellFormedBytes) {
  for (const char* good :
       {"", "abc", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x8E\xB5", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"})
    EXPECT_TRUE(is_utf8(good)) << printable(good);
  // Alone, overlong, surrogate, above U+10FFFF, cut short.
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xFF"})
    EXPECT_FALSE(is_utf8(bad)) << printable(bad);
}

TEST(Utf8, ReplacesEachMaximalIllFormedPartOnce) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(to_utf8("a\xFFz"), "a" + mark + "z");
  EXPECT_EQ(to_utf8("\xE2\x82z"), mark + "z");
  EXPECT_EQ(to_utf8("\xF0\x9F\x8E"), mark);
  EXPECT_EQ(to_utf8("\xED\xA0\x80"), mark + mark + mark);
  EXPECT_EQ(to_utf8("\xC3\xA4"), "\xC3\xA4");
  EXPECT_TRUE(is_utf8(to_utf8("\xF4\x90\x80\x80\xC0\xAF")));
}

TEST(Printable, EscapesWhatWouldSteerATerminalOrHideAName) {
  EXPECT_EQ(printable("a\tb\r\n"), "a\\tb\\r\\n");
  EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\xc2\\x9b31m");
  EXPECT_EQ(printable("gpj.\xE2\x80\xAE"
                      "x"),
            "gpj.\\xe2\\x80\\xaex");
  EXPECT_EQ(printable("\xC3\xA4\xE2\x82\xAC\xFF"), "\xC3\xA4\xE2\x82\xAC\\xff");
  EXPECT_EQ(printable(std::string(300, 'x'), 5), "xxxxx...");
  EXPECT_EQ(printable(std::string("\0", 1)), "\\x00");
}

TEST(Text, TrimsAndSplits) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim("  "), "");
  EXPECT_THAT(split("a.b..", '.'), ElementsAre("a", "b", "", ""));
  EXPECT_THAT(split("", '.'), ElementsAre(""));
  EXPECT_EQ(join_names({"a", "b"}), "a, b");
}

TEST(Text, ParsesWholeNumbersOnly) {
  EXPECT_EQ(parse_integer("-12"), -12);
  EXPECT_EQ(parse_integer("+12"), 12);
  for (const char* bad : {"", "+", "+-1", "1.5", "1e3", "12x", " 1", "99999999999999999999", "0x10"})
    EXPECT_EQ(parse_integer(bad), std::nullopt) << bad;
  EXPECT_EQ(parse_number("1e-3"), 1e-3);
  EXPECT_EQ(parse_number("+.5"), 0.5);
  for (const char* bad : {"", "1,5", "abc", "1.5x", "1e999"}) EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
}

TEST(Text, FormattedNumbersReadBackAndLookLikeNumbers) {
  for (const double value : {0.1, 1.0, -3e-4, 1e300, 5e-324, 123456789.125})
    EXPECT_EQ(parse_number(format_number(value)), value);
  EXPECT_EQ(format_number(1), "1.0");
  EXPECT_EQ(format_number(std::numeric_limits<double>::infinity()), "inf");
}

TEST(HumanForms, KeepThreeFiguresAndSwitchUnitsWhereRoundingDoes) {
  EXPECT_EQ(human_bytes(532), "532 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes((uint64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<uint64_t>::max()), "16.0 EiB");
  EXPECT_EQ(human_count(532), "532");
  EXPECT_EQ(human_count(999999), "1.0M");
  EXPECT_EQ(human_count(7.2e9), "7.2G");
  EXPECT_EQ(human_duration(0.84), "0.8 s");
  EXPECT_EQ(human_duration(42.4), "42 s");
  EXPECT_EQ(human_duration(59.9), "1 min");
  EXPECT_EQ(human_duration(185), "3 min 5 s");
  EXPECT_EQ(human_duration(7800), "2 h 10 min");
  EXPECT_EQ(human_duration(3 * 86400 + 4 * 3600), "3 d 4 h");
  EXPECT_EQ(human_duration(std::numeric_limits<double>::quiet_NaN()), "?");
}

}  // namespace
}  // namespace polyphony
