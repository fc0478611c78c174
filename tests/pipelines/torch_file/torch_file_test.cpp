// SPDX-License-Identifier: Apache-2.0
// Checkpoints: those that torch.save wrote, byte by byte, and handmade ones with tensors that lie.
#include "pipelines/torch_file/torch_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>

#include "core/error.h"
#include "core/formats/safetensors.h"
#include "tests/pipelines/torch_file/pickle_bytes.h"
#include "tests/support/expect_error.h"

namespace polyphony::torch_file {
namespace {

using namespace polyphony::testing;

const std::filesystem::path kGolden = std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/torch_files";

TorchFile parse(const std::string& bytes, const TorchLimits& limits = {}) {
  const auto read_at = [bytes](uint64_t offset, std::span<std::byte> out) {
    reader_of(as_byte_span(bytes))(offset, out);
  };
  return TorchFile::parse(bytes.size(), read_at, "c.pt", limits);
}

class GoldenCheckpoint : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenCheckpoint, GivesTheTensorsOfTorch) {
  TorchFile file = TorchFile::open(kGolden / (GetParam() + ".pt"));
  const auto expected = formats::SafetensorsFile::open(kGolden / (GetParam() + ".safetensors"));
  EXPECT_EQ(file.chosen(), expected.metadata().at("chosen"));
  EXPECT_EQ(file.stripped_prefix(), expected.metadata().at("prefix"));
  EXPECT_EQ(file.tensors().size(), expected.tensors().size());
  for (const formats::TensorInfo& info : expected.tensors()) {
    SCOPED_TRACE(info.name);
    const auto found = file.tensors().find(info.name);
    ASSERT_NE(found, file.tensors().end());
    EXPECT_EQ(found->second.dtype, info.dtype);
    EXPECT_EQ(found->second.shape, info.shape);
    EXPECT_EQ(file.read(found->second), expected.bytes(info));
  }
}

TEST_P(GoldenCheckpoint, IsRefusedWhereverItIsCut) {
  const std::string bytes = read_file(kGolden / (GetParam() + ".pt"), 1 << 20);
  for (size_t n = 0; n < bytes.size(); ++n) {
    ASSERT_THROW(parse(bytes.substr(0, n)), DataError) << "cut at " << n;
  }
  EXPECT_THROW(parse(bytes + '\0'), DataError);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenCheckpoint,
                         ::testing::Values("state_dict", "ordered_dict", "ema", "wrapped", "training", "training_model",
                                           "parameters", "views", "views_legacy", "types", "types_legacy", "small",
                                           "small_legacy", "protocol3", "protocol4", "protocol5"),
                         [](const auto& row) { return row.param; });

const ZipPart kStorage{.name = "0", .data = repeated("abcd", 4)};

std::string one(const TensorPickle& t) { return torch_zip(dict(text("w") + tensor(t)), {kStorage}); }
std::string view(int64_t offset, std::vector<int64_t> sizes, std::vector<int64_t> strides) {
  return one({.offset = offset, .sizes = std::move(sizes), .strides = std::move(strides)});
}

TEST(TorchFile, HandmadeCheckpointIsRead) {
  TorchFile file = parse(one({}));
  const auto bytes = file.read(file.tensors().at("w"));
  EXPECT_EQ(as_text(bytes), kStorage.data);
  EXPECT_EQ(file.chosen(), "top level");
  TorchFile legacy =
      parse(torch_legacy(dict(text("w") + tensor({.view = "N"})), text("0"), number(4, 8) + kStorage.data));
  EXPECT_EQ(legacy.read(legacy.tensors().at("w")), bytes);
}

TEST(TorchFile, ExpandedTensorsAreReadUpToALimit) {
  TorchFile file = parse(view(3, {1000, 1000}, {0, 0}));
  EXPECT_EQ(file.read(file.tensors().at("w")).size(), 4'000'000u);
  EXPECT_REFUSED(DataError, file.read(file.tensors().at("w"), 3'999'999), "at most 3999999 bytes, got 4000000");
  EXPECT_REFUSED(DataError, parse(view(0, {int64_t{1} << 30}, {0})), "at most 1073741824 bytes from a storage of 16");
}

TEST(TorchFile, DamagedElementsAreRefusedWhenTheyAreRead) {
  std::string bytes = one({});
  bytes[bytes.find("abcd")] = 'x';
  TorchFile file = parse(bytes);
  for (int i = 0; i < 2; ++i) EXPECT_REFUSED(DataError, file.read(file.tensors().at("w")), "CRC-32", "a/data/0");
}

TEST(TorchFile, TensorsOfOthersAreCheckedWhenTheyAreRead) {
  TorchFile file = parse(one({}));
  TorchTensor tensor = file.tensors().at("w");
  tensor.storage_offset = UINT64_MAX;
  EXPECT_REFUSED(DataError, file.read(tensor), "inside its storage");
  tensor.storage_key = "1";
  EXPECT_REFUSED(DataError, file.read(tensor), "storage '1'");
}

TEST(TorchFile, WrappersAndPrefixesAreTakenOff) {
  const std::string w = text("module.model.w") + tensor();
  const auto chosen = [&](std::string_view object) { return parse(torch_zip(object, {kStorage})).chosen(); };
  EXPECT_EQ(chosen(dict(text("model") + dict(w) + text("ema") + dict(w))), "ema");
  EXPECT_EQ(chosen(dict(text("model") + dict(w) + text("ema") + "N")), "model");
  EXPECT_EQ(chosen(dict(text("module") + dict(w) + text("state_dict") + dict(w))), "state_dict");
  EXPECT_EQ(chosen(dict(text("model") + tensor())), "top level");
  TorchFile file = parse(torch_zip(dict(w), {kStorage}));
  EXPECT_EQ(file.stripped_prefix(), "module.model.");
  EXPECT_TRUE(file.tensors().contains("w"));
  // Not all names have it; or nothing would be left of one.
  EXPECT_EQ(parse(torch_zip(dict(w + text("x") + tensor()), {kStorage})).stripped_prefix(), "");
  EXPECT_EQ(parse(torch_zip(dict(text("model.") + tensor()), {kStorage})).stripped_prefix(), "");
}

struct Case {
  std::string name;
  std::string bytes;
  std::string word;  // in the message
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class HostileCheckpoint : public ::testing::TestWithParam<Case> {};

TEST_P(HostileCheckpoint, IsRefused) {
  EXPECT_REFUSED(DataError, parse(GetParam().bytes), GetParam().word.c_str(), "[c.pt");
}

std::vector<Case> tensor_cases() {
  const int64_t big = int64_t{1} << 62;
  const std::string untyped = global("torch.storage", "UntypedStorage");
  return {
      {"LongerThanItsStorage", view(0, {5}, {1}), "inside its storage of 4 elements, got offset 0 and extent 5"},
      {"OffsetBeyondItsStorage", view(1, {4}, {1}), "offset 1 and extent 4"},
      {"HugeOffset", view(INT64_MAX, {1}, {1}), "inside its storage"},
      {"StrideBeyondItsStorage", view(0, {2, 2}, {3, 1}), "extent 5"},
      {"StrideOverflow", view(0, {4, 4}, {big, big}), "extent above 64 bits"},
      {"StrideOverflowInTheSum", view(0, {2, 2, 2}, {INT64_MAX, INT64_MAX, INT64_MAX}), "extent above 64 bits"},
      {"NegativeOffset", view(-1, {1}, {1}), "an offset from 0, got -1"},
      {"NegativeSize", view(0, {-1}, {1}), "sizes from 0"},
      {"NegativeStride", view(3, {4}, {-1}), "strides from 0"},
      {"NegativeStrideOfAnEmptyOne", view(0, {0}, {-1}), "strides from 0"},
      {"ProductOverflow", view(0, {big, big}, {0, 0}), "sizes from 0 that fit"},
      {"ProductOverflowInBytes", view(0, {big}, {0}), "sizes from 0 that fit"},
      {"ProductOverflowBehindAZero", view(0, {0, big, big}, {0, 0, 0}), "sizes from 0 that fit"},
      {"MoreStridesThanSizes", view(0, {4}, {1, 1}), "got 1 and 2"},
      {"NineDimensions", view(0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1)), "at most 8 dimensions"},
      {"MissingStorage", one({.key = "1"}), "expected storage '1' in the file"},
      {"KeyThatLeavesTheFolder", one({.key = "../data.pkl"}), "expected storage '../data.pkl' in the file"},
      {"StorageSmallerThanSaid", one({.num_elements = 5}), "of 5 elements of 4 bytes, got 16 bytes"},
      {"StorageLargerThanSaid", one({.num_elements = 3, .sizes = {1}}), "of 3 elements of 4 bytes, got 16 bytes"},
      {"StorageWithARest", torch_zip(dict(text("w") + tensor()), {{.name = "0", .data = "abcdefghijklmnopq"}}),
       "of 4 elements of 4 bytes, got 17 bytes"},
      {"UntypedStorage", one({.storage_class = untyped, .num_elements = 16}), "got an untyped storage"},
      {"StorageView", one({.view = "]"}), "a whole storage"},
      {"FloatAsSize",
       torch_zip(dict(text("w") + call(global("torch._utils", "_rebuild_tensor_v2"),
                                       storage({}) + "K\x01" + tuple("G" + number(0, 8)) + integers({1}))),
                 {kStorage}),
       "expected an integer, got a float"},
  };
}

std::vector<Case> file_cases() {
  const std::string good = dict(text("w") + tensor());
  const ZipPart object{.name = "a/data.pkl", .data = stop(good)};
  const ZipPart data{.name = "a/data/0", .data = kStorage.data};
  const auto with = [&](std::string_view name, std::string_view bytes) {
    return zip({object, data, {.name = std::string(name), .data = std::string(bytes)}});
  };
  return {
      {"Empty", "", "a file of torch.save"},
      {"WebPage", "<!DOCTYPE html>", "it looks like a web page"},
      {"Tar", std::string(257, 'x') + "ustar", "a tar archive"},
      {"PlainPickle", stop("}"), "another Python pickle"},
      {"OsSystem", torch_zip(global("os", "system") + tuple(text("ls")) + "R"), "os.system is not allowed"},
      {"OsSystemInFrontOfTheMagic", stop(global("os", "system") + tuple(text("ls")) + "R"), "os.system is not allowed"},
      {"NoObject", zip({data}), "one entry */data.pkl as torch.save writes it, got 0"},
      {"TwoObjects", with("b/data.pkl", stop(good)), "got 2"},
      {"AnotherFolder", with("b/x", ""), "expected it in the folder a/"},
      {"TorchScript", with("a/code/x.py", "x"), "a TorchScript program"},
      {"TorchScriptConstants", with("a/constants.pkl", "x"), "a TorchScript program"},
      {"BigEndian", with("a/byteorder", "big"), "expected byte order 'little', got 'big'"},
      {"LongByteOrder", with("a/byteorder", std::string(17, 'l')), "at most 16 bytes"},
      {"BytesAfterTheObject", zip({{.name = "a/data.pkl", .data = stop(good) + "x"}, data}), "data.pkl to end at byte"},
      {"DamagedObject", zip({{.name = "a/data.pkl", .data = stop(good), .crc_error = 1}, data}), "CRC-32"},
      {"Compressed", zip({{.name = "a/data.pkl", .data = stop(good), .method = 8}, data}), "compression method 8"},
      {"List", torch_zip("]"), "a dict of tensors, got a list"},
      {"OneTensor", torch_zip(tensor(), {kStorage}), "a dict of tensors, got a tensor"},
      {"NoTensors", torch_zip(dict(text("epoch") + "K\x01")), "tensors in the dict 'top level', got none"},
      {"EmptyEma", torch_zip(dict(text("ema") + "}" + text("model") + good), {kStorage}),
       "in the dict 'ema', got none"},
      {"EmaTwice", torch_zip(dict(text("ema") + good + text("ema") + good), {kStorage}), "got 'ema' twice"},
      {"NameTwice", torch_zip(dict(text("w") + tensor() + text("w") + tensor()), {kStorage}), "each tensor once"},
      {"NameIsANumber", torch_zip(dict("K\x01" + tensor()), {kStorage}), "tensors named by str, got an integer"},
      {"NameNotUtf8", torch_zip(dict(text("\xff") + tensor()), {kStorage}), "a name in UTF-8"},
      {"NameWithNul", torch_zip(dict(text(std::string(1, '\0')) + tensor()), {kStorage}), "without NUL"},
      {"ADictInItself", torch_zip("}q\x01(" + text("ema") + "h\x01u"), "in the dict 'ema', got none"},
  };
}

std::vector<Case> legacy_cases() {
  const std::string good = dict(text("w") + tensor());
  const std::string data = number(4, 8) + kStorage.data;
  return {
      {"OtherMagic", stop("\x8a\x0a" + std::string(10, 'x')), "another Python pickle"},
      {"OtherProtocol", stop("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + stop("M\xe8\x03"), "protocol 1001"},
      {"BigEndian",
       stop("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + stop("M\xe9\x03") +
           stop(dict(text("little_endian") + "\x89")),
       "byte order 'little'"},
      {"EvalInTheKeys", legacy_head() + stop(good) + stop(global("builtins", "eval")), "builtins.eval is not allowed"},
      {"ProtocolIsNoNumber", stop("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + stop("N"), "protocol 1001"},
      {"SystemIsNoDict", stop("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") + stop("M\xe9\x03") + stop("]"),
       "byte order"},
      {"KeyIsANumber", torch_legacy(good, "K\x01", data), "storage keys as str"},
      {"KeysAreNoList", legacy_head() + stop(good) + stop("}"), "a list of storage keys"},
      {"KeyOfNothing", torch_legacy(good, text("1"), data), "storage '1': expected the object to mention it"},
      {"KeyTwice", torch_legacy(good, text("0") + text("0"), data + data), "storage '0': expected it once"},
      {"KeyMissing", torch_legacy(good, "", ""), "expected storage '0' in the file"},
      {"NoCount", torch_legacy(good, text("0"), "1234567"), "the size of a storage"},
      {"OtherCount", torch_legacy(good, text("0"), number(3, 8) + kStorage.data), "expected 4 elements, got 3"},
      {"NegativeCount", torch_legacy(good, text("0"), number(UINT64_MAX, 8)), "got 18446744073709551615"},
      {"HugeCount",
       torch_legacy(dict(text("w") + tensor({.num_elements = INT64_MAX})), text("0"), number(INT64_MAX, 8) + "abcd"),
       "but only 4 bytes are left"},
      {"BytesAfterTheEnd", torch_legacy(good, text("0"), data + "x"), "got 1 more bytes"},
      {"StorageView", torch_legacy(dict(text("w") + tensor({.view = "(tq\x01"})), text("0"), data), "a whole storage"},
  };
}

INSTANTIATE_TEST_SUITE_P(Tensor, HostileCheckpoint, ::testing::ValuesIn(tensor_cases()),
                         [](const auto& row) { return row.param.name; });
INSTANTIATE_TEST_SUITE_P(File, HostileCheckpoint, ::testing::ValuesIn(file_cases()),
                         [](const auto& row) { return row.param.name; });
INSTANTIATE_TEST_SUITE_P(Legacy, HostileCheckpoint, ::testing::ValuesIn(legacy_cases()),
                         [](const auto& row) { return row.param.name; });

TEST(TorchFile, LimitsHold) {
  EXPECT_REFUSED(DataError, parse(one({}), {.pickle = {.max_bytes = 20}, .zip = {}}), "at most 20 bytes", "data.pkl");
}

}  // namespace
}  // namespace polyphony::torch_file
