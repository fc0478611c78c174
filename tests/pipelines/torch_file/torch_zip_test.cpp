// SPDX-License-Identifier: Apache-2.0
// Which archives are read: a table of files made by hand, each with what is said about it.
#include "pipelines/torch_file/torch_zip.h"

#include <gtest/gtest.h>

#include <ostream>

#include "core/error.h"
#include "tests/pipelines/torch_file/pickle_bytes.h"
#include "tests/support/expect_error.h"

namespace polyphony::torch_file {
namespace {

using namespace polyphony::testing;

std::vector<ZipEntry> entries_of(const std::string& bytes, const ZipLimits& limits = {}) {
  return read_torch_zip(bytes.size(), reader_of(as_byte_span(bytes)), "z.pt", limits);
}

// Lists and then reads everything.
void read_all(const std::string& bytes) {
  for (const ZipEntry& entry : entries_of(bytes)) check_zip_entry(entry, reader_of(as_byte_span(bytes)), "z.pt");
}

const std::string kTwo = zip({{.name = "a/x", .data = "hello"}, {.name = "a/y", .data = "you"}});

// The directory of kTwo-like archives, for the zip64 record: two entries with names of three bytes.
constexpr uint64_t kTwoDirectory = 2 * (46 + 3);
constexpr uint64_t kTwoOffset = 2 * (30 + 3) + 5 + 3;

std::string two_with(const ZipTail& tail) {
  return zip({{.name = "a/x", .data = "hello"}, {.name = "a/y", .data = "you"}}, tail);
}

TEST(TorchZip, EntriesAreListedInTheOrderOfTheFile) {
  const auto entries = entries_of(kTwo);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a/x");
  EXPECT_EQ(entries[0].offset, 33u);
  EXPECT_EQ(entries[1].num_bytes, 3u);
  const auto bytes = read_zip_entry(entries[1], reader_of(as_byte_span(kTwo)), "z.pt", 3);
  EXPECT_EQ(as_text(bytes), "you");
  EXPECT_REFUSED(DataError, read_zip_entry(entries[0], reader_of(as_byte_span(kTwo)), "z.pt", 4), "at most 4", "a/x");
}

TEST(TorchZip, Zip64RecordsAreRead) {
  EXPECT_EQ(entries_of(two_with({.zip64 = zip64_end(2, kTwoDirectory, kTwoOffset)})).size(), 2u);
  const std::string full = two_with({.more_entries = 0xFFFF - 2,
                                     .more_bytes = 0xFFFFFFFF - int64_t{kTwoDirectory},
                                     .more_offset = 0xFFFFFFFF - int64_t{kTwoOffset},
                                     .zip64 = zip64_end(2, kTwoDirectory, kTwoOffset)});
  EXPECT_EQ(entries_of(full).size(), 2u);
  const std::string wide = zip({{.name = "a/x",
                                 .data = "hello",
                                 .central_bytes = 0xFFFFFFFF,
                                 .extra = number(1, 2) + number(16, 2) + number(5, 8) + number(5, 8)}});
  EXPECT_EQ(entries_of(wide).at(0).num_bytes, 5u);
}

TEST(TorchZip, DescriptorsAreRead) {
  const std::string crc = number(0x3610a686, 4);  // of "hello"
  for (const std::string& magic : {std::string(), std::string("PK\x07\x08")}) {
    for (const size_t width : {4u, 8u}) {
      const std::string after = magic + crc + number(5, width) + number(5, width);
      EXPECT_EQ(entries_of(zip({{.name = "a/x", .data = "hello", .flags = 8, .after = after}})).size(), 1u);
    }
  }
}

struct Case {
  std::string name;
  std::string bytes;
  std::string word;  // in the message
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class HostileZip : public ::testing::TestWithParam<Case> {};

TEST_P(HostileZip, IsRefused) {
  EXPECT_REFUSED(DataError, read_all(GetParam().bytes), GetParam().word.c_str(), "z.pt");
}

std::string named(std::string_view name) { return zip({{.name = std::string(name), .data = "x"}}); }

std::vector<Case> entry_cases() {
  using namespace std::string_literals;
  const std::string descriptor = "PK\x07\x08" + number(0x3610a686, 4) + number(5, 4);
  const auto with = [&](auto change) {
    ZipPart changed{.name = "a/x", .data = "hello"};
    change(changed);
    return zip({changed});
  };
  return {
      {"Absolute", named("/a/x"), "a relative name"},
      {"Parent", named("a/../../x"), "a relative name"},
      {"OnlyParent", named(".."), "a relative name"},
      {"Dot", named("a/./x"), "a relative name"},
      {"Backslash", named("a\\x"), "a relative name"},
      {"Nul", named("a/x\0.pkl"s), "a relative name"},
      {"NoName", named(""), "a relative name"},
      {"Folder", named("a/"), "a relative name"},
      {"NotUtf8", named("a/\xff"), "a relative name"},
      {"NameTooLong", named(std::string(1025, 'a')), "names of at most 1024 bytes, got 1025"},
      {"NameTwice", zip({{.name = "a/x"}, {.name = "a/x"}}), "each entry once, got entry 'a/x' twice"},
      {"OtherNameInTheHeader", with([](ZipPart& p) { p.local_name = "a/y"; }), "the same name"},
      {"WrongChecksum", with([](ZipPart& p) { p.crc_error = 1; }), "expected CRC-32"},
      {"Deflated", with([](ZipPart& p) { p.method = 8; }), "got compression method 8"},
      {"TorchScript", zip({{.name = "a/code/x.py", .data = "x", .method = 8}}), "a TorchScript program"},
      {"Encrypted", with([](ZipPart& p) { p.flags = 1; }), "no encryption"},
      {"StronglyEncrypted", with([](ZipPart& p) { p.flags = 0x40; }), "plain flags"},
      {"TwoSizes", with([](ZipPart& p) { p.stored_bytes = 4; }), "one size, got 4 stored and 5 unpacked"},
      {"OtherSizeInTheHeader", with([](ZipPart& p) { p.local_bytes = 4; }), "the header to agree"},
      {"SmallerInBoth", with([](ZipPart& p) { p.local_bytes = p.central_bytes = p.stored_bytes = 4; }),
       "expected nothing after it, got 1 bytes"},
      {"LargerInBoth", with([](ZipPart& p) { p.local_bytes = p.central_bytes = p.stored_bytes = 6; }),
       "overlaps the one after"},
      {"BeyondTheFile", with([](ZipPart& p) { p.local_bytes = p.central_bytes = p.stored_bytes = 1 << 30; }),
       "before the directory"},
      {"OffsetBeyondTheFile", with([](ZipPart& p) { p.shift = 1 << 30; }), "before the directory"},
      {"OffsetInsideTheHeader", with([](ZipPart& p) { p.shift = 2; }), "an entry at the start"},
      {"CommentOfAnEntry", with([](ZipPart& p) { p.comment = "c"; }), "no comment"},
      {"DescriptorMissing", with([](ZipPart& p) { p.flags = 8; }), "a descriptor of 12 to 24 bytes after it, got 0"},
      {"DescriptorWithAnotherSize", with([&](ZipPart& p) {
         p.flags = 8;
         p.after = descriptor + number(4, 4);
       }),
       "the descriptor to agree"},
      {"BytesBetween", zip({{.name = "a/x", .after = "hidden"}, {.name = "a/y"}}), "nothing after it, got 6 bytes"},
      {"HiddenEntry", zip({{.name = "a/x", .after = zip({{.name = "a/z", .data = "evil"}}).substr(0, 37)}}),
       "nothing after it"},
      {"SameData", zip({{.name = "a/x", .data = "1"}, {.name = "a/y", .data = "2", .shift = -34}}), "overlaps"},
      {"Overlap", zip({{.name = "a/x", .data = "hello"}, {.name = "a/y", .shift = -2}}), "overlaps"},
  };
}

std::vector<Case> directory_cases() {
  const auto wide = [](const std::string& extra, uint64_t bytes = 0xFFFFFFFF) {
    return zip({{.name = "a/x", .data = "hello", .central_bytes = bytes, .extra = extra}});
  };
  const std::string two_sizes = number(1, 2) + number(16, 2) + number(5, 8) + number(5, 8);
  return {
      {"Empty", "", "at least 22 bytes"},
      {"EmptyArchive", zip({}), "an entry at the start"},
      {"Garbage", std::string(100, 'x'), "the end of a zip archive"},
      {"Comment", two_with({.comment = "hi"}), "the end of a zip archive"},
      {"CommentLengthOnly",
       [] {
         std::string bytes = kTwo;
         bytes[bytes.size() - 2] = 1;
         return bytes;
       }(),
       "without a comment"},
      {"BytesBefore", "MZ" + kTwo, "the directory to end at byte"},
      {"BytesBeforeTheDirectory", two_with({.before_directory = "hidden"}), "nothing after it, got 6 bytes"},
      {"BytesAfterTheDirectory", two_with({.after_directory = "hidden"}), "the directory to end at byte"},
      {"BytesInTheDirectory", two_with({.more_bytes = 6, .after_directory = "hidden"}), "6 more bytes"},
      {"TooManyEntries", two_with({.more_entries = 1}), "room for 3 entries"},
      {"TooFewEntries", two_with({.more_entries = -1}), "49 more bytes"},
      {"DirectoryTooLarge", two_with({.more_bytes = 1}), "the directory to end at byte"},
      {"DirectoryElsewhere", two_with({.more_bytes = 33, .more_offset = -33}), "an entry of the directory"},
      {"Zip64Elsewhere", two_with({.zip64 = zip64_end(2, kTwoDirectory, kTwoOffset, 1)}), "the zip64 record before"},
      {"Zip64FarAway", two_with({.zip64 = zip64_end(2, kTwoDirectory, kTwoOffset, INT64_MIN)}), "the zip64 record"},
      {"Zip64OtherCount", two_with({.zip64 = zip64_end(1, kTwoDirectory, kTwoOffset)}), "agree with the plain one"},
      {"Zip64OtherSize", two_with({.zip64 = zip64_end(2, kTwoDirectory - 1, kTwoOffset, 1)}), "agree with the plain"},
      {"Zip64HugeCount",
       two_with({.more_entries = 0xFFFF - 2, .zip64 = zip64_end(UINT64_MAX, kTwoDirectory, kTwoOffset)}),
       "at most 500000 entries"},
      {"Zip64HugeOffset",
       two_with({.more_bytes = 0xFFFFFFFF - int64_t{kTwoDirectory},
                 .more_offset = 0xFFFFFFFF - int64_t{kTwoOffset},
                 .zip64 = zip64_end(2, UINT64_MAX, kTwoOffset, int64_t{kTwoDirectory} + 1)}),
       "the directory to end"},
      {"WideWithoutField", wide(""), "a zip64 field for its sizes"},
      {"WideHalfAField", wide(number(1, 2) + number(8, 2) + number(5, 8)), "of 16 bytes, got 8"},
      {"WideTwice", wide(two_sizes + two_sizes), "one zip64 field"},
      {"WideThoughSmall", wide(two_sizes, 5), "of 0 bytes, got 16"},
      {"WideButHuge", wide(number(1, 2) + number(16, 2) + number(UINT64_MAX, 8) + number(UINT64_MAX, 8)),
       "before the directory"},
      {"WideWithTwoSizes", wide(number(1, 2) + number(16, 2) + number(5, 8) + number(6, 8)), "one size"},
      {"ExtraBeyondItsEnd", wide(number(1, 2) + number(99, 2)), "more bytes in a header"},
  };
}

INSTANTIATE_TEST_SUITE_P(Entries, HostileZip, ::testing::ValuesIn(entry_cases()),
                         [](const auto& row) { return row.param.name; });
INSTANTIATE_TEST_SUITE_P(Directory, HostileZip, ::testing::ValuesIn(directory_cases()),
                         [](const auto& row) { return row.param.name; });

TEST(TorchZip, EveryPrefixIsRefused) {
  for (size_t n = 0; n < kTwo.size(); ++n) EXPECT_THROW(read_all(kTwo.substr(0, n)), DataError) << "cut at " << n;
}

TEST(TorchZip, EveryChangedBitOfHeadersIsRefusedOrHarmless) {
  for (size_t i = 0; i < 8 * kTwo.size(); ++i) {
    std::string bytes = kTwo;
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << i % 8));
    try {
      read_all(bytes);
    } catch (const DataError&) {
    }
  }
}

TEST(TorchZip, LimitsHold) {
  EXPECT_REFUSED(DataError, entries_of(kTwo, {.max_entries = 1}), "at most 1 entries, got 2");
  EXPECT_REFUSED(DataError, entries_of(kTwo, {.max_name_bytes = 2}), "at most 2 bytes, got 3");
  EXPECT_REFUSED(DataError, entries_of(kTwo, {.max_directory_bytes = 50}), "a directory of at most 50 bytes");
}

}  // namespace
}  // namespace polyphony::torch_file
