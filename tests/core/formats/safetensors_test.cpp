// SPDX-License-Identifier: Apache-2.0
// Opening, reading and writing safetensors files.
#include "core/formats/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/formats/safetensors_index.h"
#include "tests/support/expect_error.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::formats {
namespace {

namespace fs = std::filesystem;
using polyphony::testing::one_tensor_file;
using polyphony::testing::safetensors_file;
using polyphony::testing::TemporaryFolder;
using polyphony::testing::tensor_json;

const std::string kPayload = "0123456789abcdef";

TensorBytes tensor(std::string name, DType dtype, std::vector<int64_t> shape) {
  uint64_t num_bytes = dtype_bytes(dtype);
  for (const int64_t size : shape) num_bytes *= static_cast<uint64_t>(size);
  return {std::move(name), dtype, std::move(shape), as_byte_span(kPayload).first(num_bytes)};
}

TEST(SafetensorsFile, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  write_safetensors(path,
                    {tensor("a", DType::u8, {3}), tensor("b", DType::f32, {2, 2}), tensor("\u00e4\n", DType::i64, {}),
                     tensor("none", DType::bf16, {0, 7})},
                    {{"format", "pt"}, {"note", "\"quoted\"\n"}});
  const auto file = SafetensorsFile::open(path);
  EXPECT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.metadata().at("note"), "\"quoted\"\n");
  ASSERT_NE(file.find("b"), nullptr);
  EXPECT_EQ(as_text(file.bytes(*file.find("b"))), kPayload);
  EXPECT_EQ(as_text(file.bytes(*file.find("a"))), "012");
  EXPECT_EQ(file.find("none")->num_bytes(), 0u);
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(folder.num_entries(), 1u);
}

TEST(SafetensorsFile, EveryTensorStartsAtAMultipleOfItsElementSize) {
  const TemporaryFolder folder;
  std::vector<TensorBytes> tensors;
  for (int i = 0; i < kNumDTypes; ++i) tensors.push_back(tensor(std::to_string(i), static_cast<DType>(i), {1}));
  write_safetensors(folder / "x", tensors);
  const std::string bytes = read_file(folder / "x", 10'000);
  EXPECT_EQ(bytes[8], '{');
  const SafetensorsHeader header = parse_safetensors_header(as_byte_span(bytes));
  EXPECT_EQ(header.data_begin % 8, 0u);
  for (const TensorInfo& info : header.tensors) EXPECT_EQ(info.begin % dtype_bytes(info.dtype), 0u) << info.name;
}

TEST(SafetensorsFile, WritesTheSameBytesAsTheReferenceWriter) {
  const fs::path golden = fs::path(POLYPHONY_SOURCE_DIR) / "tests/golden/safetensors_files/reference.safetensors";
  const auto reference = SafetensorsFile::open(golden);
  std::vector<std::vector<std::byte>> kept;
  std::vector<TensorBytes> tensors;
  for (const TensorInfo& info : reference.tensors()) {
    kept.push_back(reference.bytes(info));
    tensors.push_back({info.name, info.dtype, info.shape, kept.back()});
  }
  std::ranges::reverse(tensors);
  const TemporaryFolder folder;
  write_safetensors(folder / "ours", tensors, reference.metadata());
  EXPECT_EQ(read_file(folder / "ours", 1 << 20), read_file(golden, 1 << 20));
}

TEST(SafetensorsFile, TheReferenceWritersValuesAreRead) {
  const auto file =
      SafetensorsFile::open(fs::path(POLYPHONY_SOURCE_DIR) / "tests/golden/safetensors_files/reference.safetensors");
  std::vector<float> values(6);
  file.read(*file.find("layer.weight"), std::as_writable_bytes(std::span(values)));
  EXPECT_EQ(values, (std::vector<float>{0, 0.5, 1, 1.5, 2, 2.5}));
  EXPECT_EQ(file.find("layer.weight")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensors().size(), static_cast<size_t>(kNumDTypes) + 3);
}

TEST(SafetensorsFile, WritingRefusesWhatCouldNotBeReadBack) {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  const TensorBytes good = tensor("a", DType::u8, {3});
  EXPECT_REFUSED(Error, write_safetensors(path, {good, good}), "'a' twice");
  EXPECT_REFUSED(Error, write_safetensors(path, {tensor("__metadata__", DType::u8, {1})}), "__metadata__");
  EXPECT_REFUSED(Error, write_safetensors(path, {tensor("\xff", DType::u8, {1})}), "UTF-8");
  EXPECT_REFUSED(Error, write_safetensors(path, {tensor(std::string("a\0", 2), DType::u8, {1})}), "NUL");
  EXPECT_REFUSED(Error, write_safetensors(path, {{"a", DType::f32, {3}, as_byte_span(kPayload)}}), "expected 12", "16");
  EXPECT_REFUSED(Error, write_safetensors(path, {{"a", DType::f32, {-1}, {}}}), "sizes from 0");
  EXPECT_REFUSED(Error, write_safetensors(path, {good}, {{"k", "\xff"}}), "metadata");
  EXPECT_REFUSED(Error, write_safetensors(folder / "no" / "x", {good}), "No such file");
  EXPECT_EQ(folder.num_entries(), 0u);
}

TEST(SafetensorsFile, SavingOverALoadedFileLeavesItsTensorsValid) {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  write_safetensors(path, {tensor("a", DType::u8, {4})});
  const auto old = SafetensorsFile::open(path);
  write_safetensors(path, {tensor("b", DType::f64, {2})});
  EXPECT_EQ(as_text(old.bytes(*old.find("a"))), "0123");
}

TEST(SafetensorsFile, AFileTruncatedWhileOpenIsAnError) {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  write_safetensors(path, {tensor("a", DType::u8, {16})});
  const auto file = SafetensorsFile::open(path);
  fs::resize_file(path, fs::file_size(path) - 1);
  EXPECT_REFUSED(DataError, file.bytes(*file.find("a")), "cut short");
  EXPECT_REFUSED(DataError, SafetensorsFile::open(path), "truncated");
}

TEST(SafetensorsFile, WhatIsNoFileIsRefusedAtOnce) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(DataError, SafetensorsFile::open(folder / "pipe"), "a named pipe");
  EXPECT_REFUSED(DataError, SafetensorsFile::open(folder.path()), "a folder");
  EXPECT_REFUSED(DataError, SafetensorsFile::open("/dev/zero"), "a device");
  EXPECT_REFUSED(DataError, SafetensorsFile::open(folder / "missing"), "No such file");
}

TEST(SafetensorsFile, AHeaderLengthAboveTheCapInASparseFileTakesNoMemory) {
  const TemporaryFolder folder;
  write_file_atomic(folder / "x", testing::little_endian(100'000'001) + "{}");
  fs::resize_file(folder / "x", uint64_t{1} << 38);
  EXPECT_REFUSED(DataError, SafetensorsFile::open(folder / "x"), "at most 100000000 bytes, got 100000001");
}

TEST(SafetensorsFile, ADamagedPayloadIsFoundByItsHash) {
  const TemporaryFolder folder;
  const auto path = folder / "x";
  write_safetensors(path, {tensor("a", DType::u8, {16})});
  const std::string hash = sha256_file(path);
  std::string bytes = read_file(path, 1 << 20);
  bytes.back() ^= 1;
  write_file_atomic(path, bytes);
  EXPECT_NO_THROW(SafetensorsFile::open(path));
  EXPECT_REFUSED(DataError, check_sha256(path, hash), "x]", "damaged");
}

// A model of two shards whose index can be replaced.
class Shards : public ::testing::Test {
 protected:
  Shards() {
    write_safetensors(folder_ / "one.safetensors", {tensor("a", DType::u8, {4})}, {{"format", "pt"}});
    write_safetensors(folder_ / "two.safetensors", {tensor("b", DType::u8, {4}), tensor("c", DType::u8, {4})});
  }
  SafetensorsSet open(std::string_view index) {
    write_file_atomic(folder_ / "model.safetensors.index.json", index);
    return SafetensorsSet::open(folder_.path());
  }
  TemporaryFolder folder_;
};

TEST_F(Shards, TensorsOfAllFilesAreFound) {
  const auto set = open(R"({"metadata":{"total_size":12},
    "weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})");
  EXPECT_EQ(set.entries().size(), 3u);
  EXPECT_TRUE(set.warnings().empty());
  EXPECT_EQ(set.metadata().at("format"), "pt");
  std::string bytes(4, ' ');
  set.read(set.entries().find("c")->second, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(bytes, "0123");
}

TEST_F(Shards, ShardNamesMustStayInTheFolder) {
  for (const char* shard :
       {"../../etc/passwd", "/etc/passwd", "..", "", "a\\\\b", "a\\u0000b", "sub/one.safetensors"}) {
    EXPECT_REFUSED(DataError, open(std::string(R"({"weight_map":{"a":")") + shard + "\"}}"), "tensor 'a'",
                   "without a path");
  }
}

TEST_F(Shards, MissingFilesAndTensorsAreNamed) {
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"a":"three.safetensors"}})"), "three.safetensors", "No such file");
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"d":"one.safetensors"}})"), "tensor 'd'", "none of the files");
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"a":"two.safetensors","b":"one.safetensors"}})"), "another file");
}

TEST_F(Shards, ATensorInTwoFilesIsRefused) {
  write_safetensors(folder_ / "two.safetensors", {tensor("a", DType::u8, {4})});
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})"), "tensor 'a'",
                 "one.safetensors", "two.safetensors");
}

TEST_F(Shards, AWrongTotalAndUnlistedTensorsAreWarnings) {
  const auto set = open(R"({"metadata":{"total_size":11},"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_THAT(set.warnings(), ::testing::ElementsAre(::testing::HasSubstr("'c' is in a file but not in weight_map"),
                                                     ::testing::HasSubstr("total_size is 11")));
}

TEST_F(Shards, AnIndexThatIsNoIndexIsRefused) {
  EXPECT_REFUSED(DataError, open("{"), "index.json", "JSON");
  EXPECT_REFUSED(DataError, open("{}"), "weight_map");
  EXPECT_REFUSED(DataError, open("[]"), "weight_map");
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"a":1}})"), "tensor 'a'", "number");
  EXPECT_REFUSED(DataError, open(R"({"weight_map":{"a":"one.safetensors","a":"two.safetensors"}})"), "'a' twice");
  EXPECT_REFUSED(DataError, open(std::string(100'000, '[')), "nested at most");
}

}  // namespace
}  // namespace polyphony::formats
