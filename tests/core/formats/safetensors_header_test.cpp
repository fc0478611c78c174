// SPDX-License-Identifier: Apache-2.0
// Which bytes are a safetensors file: a table of files made by hand, each with what must come of it.
#include <gtest/gtest.h>

#include <ctime>
#include <ostream>

#include "core/error.h"
#include "core/formats/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/safetensors_builder.h"

namespace polyphony::formats {
namespace {

using polyphony::testing::little_endian;
using polyphony::testing::one_tensor_file;
using polyphony::testing::safetensors_file;
using polyphony::testing::tensor_json;

struct Case {
  std::string name;
  std::string bytes;
  std::string word;  // in the error's message; empty: the file is good
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string nul(std::string_view text) { return std::string(text) + '\0'; }

// One tensor of F32[1] at [0, 4], with a field's text replaced.
std::string with_dtype(std::string_view text) {
  return safetensors_file("{\"w\":{\"dtype\":" + std::string(text) + ",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
}
std::string with_shape(std::string_view text) {
  return safetensors_file("{\"w\":{\"dtype\":\"F32\",\"shape\":" + std::string(text) + ",\"data_offsets\":[0,4]}}", 4);
}
std::string with_offsets(std::string_view text) { return one_tensor_file("F32", "[1]", text, 4); }
std::string two_tensors(std::string_view a_offsets, std::string_view b_offsets, size_t data_bytes) {
  return safetensors_file(
      "{" + tensor_json("a", "U8", "[4]", a_offsets) + "," + tensor_json("b", "U8", "[4]", b_offsets) + "}",
      data_bytes);
}

const std::string kGood = one_tensor_file("F32", "[1]", "[0,4]", 4);
const std::string kGoodJson = "{" + tensor_json("w", "F32", "[1]", "[0,4]") + "}";

std::vector<Case> length_cases() {
  return {
      {"Empty", "", "too small"},
      {"SevenBytes", "1234567", "too small"},
      {"NoHeader", little_endian(0), "begins with '{'"},
      {"LengthWraps", little_endian(UINT64_MAX) + "{}", "at most 100000000 bytes, got 18446744073709551615"},
      {"LengthWrapsToZero", little_endian(UINT64_MAX - 7) + "{}", "at most"},
      {"LengthAboveTheCap", little_endian(100'000'001) + "{}", "at most 100000000 bytes, got 100000001"},
      {"LengthOneTooLong", little_endian(3) + "{}", "truncated"},
      {"LengthOneTooShort", little_endian(kGoodJson.size() - 1) + kGoodJson + "1234", "expected a JSON header"},
  };
}

std::vector<Case> json_cases() {
  const std::string scalar = tensor_json("w", "F32", "[]", "[0,4]");
  return {
      {"NotUtf8", safetensors_file("{\"\xff\":1}"), "at byte 10"},
      {"NotJson", safetensors_file("{w}"), "at byte 9"},
      {"EndsEarly", safetensors_file("{\"w\":{\"dtype\":"), "JSON"},
      {"GarbageAfterTheObject", safetensors_file(kGoodJson + " x", 4), "JSON"},
      {"NulAfterTheObject", safetensors_file(nul(kGoodJson), 4), "NUL"},
      {"LeadingWhitespace", safetensors_file(" \n\t" + kGoodJson, 4), ""},
      {"ByteOrderMark", safetensors_file("\xef\xbb\xbf" + kGoodJson, 4), "begins with '{'"},
      {"PaddedWithSpaces", safetensors_file(kGoodJson + "       ", 4), ""},
      {"TopLevelArray", safetensors_file("[]"), "begins with '{'"},
      {"DuplicateTensor",
       safetensors_file(
           "{" + tensor_json("w", "U8", "[4]", "[0,4]") + "," + tensor_json("w", "F32", "[1]", "[0,4]") + "}", 4),
       "'w' twice"},
      {"DuplicateTensorSpeltDifferently",
       safetensors_file("{" + tensor_json("w", "U8", "[0]", "[0,0]") + "," +
                        tensor_json("\\u0077", "U8", "[0]", "[0,0]") + "}"),
       "'w' twice"},
      {"DuplicateMetadata", safetensors_file(R"({"__metadata__":{},"__metadata__":{}})"), "__metadata__ once"},
      {"DuplicateMetadataKey", safetensors_file(R"({"__metadata__":{"a":"1","a":"2"}})"), "'a' twice"},
      {"MetadataNumber", safetensors_file(R"({"__metadata__":{"a":1}})"), "string for __metadata__ key 'a'"},
      {"MetadataNested", safetensors_file(R"({"__metadata__":{"a":{}}})"), "string for __metadata__ key 'a'"},
      {"MetadataNull", safetensors_file(R"({"__metadata__":null})"), "expected an object for '__metadata__'"},
      {"DuplicateField", safetensors_file(R"({"w":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
       "'dtype' twice"},
      {"UnknownFieldIsSkipped",
       safetensors_file(R"({"w":{"x":[{"y":[1,-2,3.5,null,true]}],"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
       ""},
      {"TensorAsArray", safetensors_file(R"({"w":["U8",[0],[0,0]]})"), "expected an object for 'w'"},
      {"TensorAsNumber", safetensors_file(R"({"w":1})"), "expected an object for 'w'"},
      {"HundredKilobytesOfBrackets", safetensors_file("{\"w\":" + std::string(100'000, '[')), "expected an object"},
      {"DeepUnknownField", safetensors_file("{\"w\":{\"x\":" + std::string(100'000, '[')), "nested at most 16"},
      {"DeepObjects",
       [] {
         std::string json;
         for (int i = 0; i < 10'000; ++i) json += "{\"a\":";
         return safetensors_file(json);
       }(),
       "tensor 'a'"},
      {"MetadataOnly", safetensors_file(R"({"__metadata__":{"format":"pt"}})"), ""},
      {"Nothing", safetensors_file("{}"), ""},
      {"EmptyName", safetensors_file("{" + tensor_json("", "U8", "[0]", "[0,0]") + "}"), ""},
      {"MegabyteName", safetensors_file("{" + tensor_json(std::string(1 << 20, 'n'), "U8", "[0]", "[0,0]") + "}"), ""},
      {"NameWithNul", safetensors_file("{" + tensor_json("a\\u0000b", "U8", "[0]", "[0,0]") + "}"), "without NUL"},
      {"NameWithPath", safetensors_file("{" + tensor_json("../x", "U8", "[0]", "[0,0]") + "}"), ""},
      {"NameWithNewline", safetensors_file("{" + tensor_json("a\\nb", "U8", "[0]", "[0,0]") + "}"), ""},
      {"NameRightToLeft", safetensors_file("{" + tensor_json("\u05d0\u202e", "U8", "[0]", "[0,0]") + "}"), ""},
      {"NameWithHalfASurrogate", safetensors_file("{" + tensor_json("\\ud800", "U8", "[0]", "[0,0]") + "}"), "JSON"},
  };
}

std::vector<Case> field_cases() {
  const std::string many_sizes = [] {
    std::string text = "[1";
    for (int i = 1; i < 65; ++i) text += ",1";
    return text + "]";
  }();
  return {
      {"DtypeMissing", safetensors_file(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4), "'dtype', got none"},
      {"DtypeNumber", with_dtype("32"), "a string as dtype"},
      {"DtypeObject", with_dtype(R"({"F32":null})"), "a string as dtype"},
      {"DtypeUnknown", with_dtype("\"F33\""), "tensor 'w': expected a known dtype, got 'F33'"},
      {"DtypeLowerCase", with_dtype("\"f32\""), "a known dtype"},
      {"DtypeSubByte", one_tensor_file("F4", "[8]", "[0,4]", 4), "got F4, which this program cannot load"},
      {"ShapeMissing", safetensors_file(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4), "'shape', got none"},
      {"ShapeString", with_shape("\"1\""), "an array as shape"},
      {"ShapeNegative", with_shape("[-1]"), "unsigned integers in its shape"},
      {"ShapeMinusZero", with_shape("[-0]"), "unsigned integers in its shape"},
      {"ShapeFraction", with_shape("[1.5]"), "unsigned integers in its shape"},
      {"ShapeExponent", with_shape("[1e3]"), "unsigned integers in its shape"},
      {"ShapeWholeFraction", with_shape("[1.0]"), "unsigned integers in its shape"},
      {"ShapeNested", with_shape("[[1]]"), "unsigned integers in its shape"},
      {"ShapeAbove63Bits", with_shape("[9223372036854775808]"), "below 2^63"},
      {"ShapeAbove64Bits", with_shape("[18446744073709551616]"), "unsigned integers in its shape"},
      {"ShapeOf65Dimensions", with_shape(many_sizes), "at most 64 dimensions"},
      {"ProductWrapsToZero", one_tensor_file("F32", "[4294967296,4294967296]", "[0,0]", 0), "overflow"},
      {"ProductWrapsToFour", one_tensor_file("F32", "[4194305,4194305,211106198978564]", "[0,16]", 16), "overflow"},
      {"BytesWrap", one_tensor_file("F64", "[2305843009213693952]", "[0,0]", 0), "overflow"},
      {"SizeTooSmall", one_tensor_file("F64", "[4]", "[0,16]", 16), "expected 32 bytes"},
      {"SizeFarTooSmall", one_tensor_file("F32", "[1000000]", "[0,4]", 4), "expected 4000000 bytes"},
      {"OffsetsMissing", safetensors_file(R"({"w":{"dtype":"F32","shape":[1]}})", 4), "'data_offsets', got none"},
      {"OffsetsDecrease", with_offsets("[4,0]"), "do not decrease"},
      {"OffsetsNegative", with_offsets("[-4,0]"), "unsigned integers in data_offsets"},
      {"OffsetsOne", with_offsets("[4]"), "two numbers, got 1"},
      {"OffsetsThree", with_offsets("[0,4,4]"), "two numbers, got more"},
      {"OffsetsStrings", with_offsets("[\"0\",\"4\"]"), "unsigned integers in data_offsets"},
      {"OffsetsNumber", with_offsets("4"), "an array as data_offsets"},
      {"OffsetsObject", with_offsets("{}"), "an array as data_offsets"},
      {"Scalar", one_tensor_file("F32", "[]", "[0,4]", 4), ""},
  };
}

std::vector<Case> tiling_cases() {
  const std::string zero = tensor_json("z", "F32", "[0,3]", "[0,0]") + "," + tensor_json("y", "U8", "[0]", "[0,0]");
  // Each fits 64 bits; together they wrap.
  const std::string half = "9223372036854775800";
  const std::string sum_wraps = "{" + tensor_json("a", "U8", "[" + half + "]", "[0," + half + "]") + "," +
                                tensor_json("b", "U8", "[" + half + "]", "[" + half + ",18446744073709551600]") + "," +
                                tensor_json("c", "U8", "[32]", "[18446744073709551600,16]") + "}";
  return {
      {"Good", kGood, ""},
      {"EndOnePastTheFile", one_tensor_file("U8", "[5]", "[0,5]", 4), "truncated"},
      {"InOrder", two_tensors("[0,4]", "[4,8]", 8), ""},
      {"InReverseOrder", two_tensors("[4,8]", "[0,4]", 8), ""},
      {"OverlapByOne", two_tensors("[0,4]", "[3,7]", 7), "overlaps"},
      {"SameBytesTwice", two_tensors("[0,4]", "[0,4]", 4), "overlaps"},
      {"HoleOfOne", two_tensors("[0,4]", "[5,9]", 9), "expected it to begin at 4"},
      {"FirstBeginsAtOne", one_tensor_file("U8", "[3]", "[1,4]", 4), "expected it to begin at 0"},
      {"OneByteAfterTheLast", kGood + "x", "1 extra bytes"},
      {"ZipAfterTheLast", kGood + "PK\x03\x04....", "looks like a zip archive"},
      {"DataWithoutTensors", safetensors_file("{}", 4), "4 extra bytes"},
      {"SumWraps", safetensors_file(sum_wraps), "do not decrease"},
      {"HugeTensorsFitOnlyOnPaper",
       safetensors_file("{" + tensor_json("a", "U8", "[" + half + "]", "[0," + half + "]") + "}"), "truncated"},
      {"ZeroSizeTensorsShareAnOffset",
       safetensors_file("{" + zero + "," + tensor_json("w", "F32", "[1]", "[0,4]") + "}", 4), ""},
      {"ZeroSizeTensorInsideAnother",
       safetensors_file(
           "{" + tensor_json("w", "F32", "[1]", "[0,4]") + "," + tensor_json("z", "U8", "[0]", "[2,2]") + "}", 4),
       "overlaps"},
  };
}

std::vector<Case> foreign_cases() {
  return {
      {"Zip", std::string("PK\x03\x04\x14\0\0\0\x08\0archive", 17), "zip archive"},
      {"Pickle", std::string("\x80\x02}q\x01(X\x01\0\0\0wq", 14), "pickle"},
      {"Gguf", std::string("GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", 16), "GGUF"},
      {"Html", "<!DOCTYPE html><html><body>404 Not Found", "web page"},
      {"HtmlAfterNewlines", "\n\n<html><head>", "web page"},
      {"GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"},
      {"Jpeg", "\xff\xd8\xff\xe0....JFIF", "JPEG"},
  };
}

class SafetensorsFileBytes : public ::testing::TestWithParam<Case> {};

TEST_P(SafetensorsFileBytes, IsAcceptedOrRefusedForTheRightReason) {
  const auto parse = [] { return parse_safetensors_header(as_byte_span(GetParam().bytes), "x.safetensors"); };
  if (GetParam().word.empty()) {
    EXPECT_NO_THROW(parse());
  } else {
    EXPECT_REFUSED(DataError, parse(), "[x.safetensors]", GetParam().word.c_str());
  }
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Length, SafetensorsFileBytes, ::testing::ValuesIn(length_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Json, SafetensorsFileBytes, ::testing::ValuesIn(json_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Field, SafetensorsFileBytes, ::testing::ValuesIn(field_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Tiling, SafetensorsFileBytes, ::testing::ValuesIn(tiling_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Foreign, SafetensorsFileBytes, ::testing::ValuesIn(foreign_cases()), name_of);

TEST(SafetensorsHeaderLimits, AHigherCapLetsALongHeaderThrough) {
  const std::string bytes = safetensors_file(kGoodJson, 4);
  const uint64_t length = kGoodJson.size();
  EXPECT_REFUSED(DataError, parse_safetensors_header(as_byte_span(bytes), "x", {.max_header_bytes = length - 1}),
                 "at most");
  EXPECT_NO_THROW(parse_safetensors_header(as_byte_span(bytes), "x", {.max_header_bytes = length}));
}

TEST(SafetensorsHeaderLimits, AHundredThousandTensorsAreReadQuicklyAndTooManyRefused) {
  std::string json = "{";
  for (int i = 0; i < 100'000; ++i) {
    json += (i == 0 ? "" : ",") + tensor_json(std::to_string(i), "U8", "[0]", "[0,0]");
  }
  const std::string bytes = safetensors_file(json + "}");
  const std::clock_t start = std::clock();  // processor time: other programs do not count
  EXPECT_EQ(parse_safetensors_header(as_byte_span(bytes)).tensors.size(), 100'000u);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 5);
  EXPECT_REFUSED(DataError, parse_safetensors_header(as_byte_span(bytes), "x", {.max_tensors = 99'999}),
                 "at most 99999 tensors");
}

TEST(SafetensorsHeaderValues, AreWhatTheFileSays) {
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"extra":{}}})";
  const SafetensorsHeader header = parse_safetensors_header(as_byte_span(safetensors_file(json, 16)));
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.data_begin, 8 + json.size());
  EXPECT_EQ(header.metadata.at("format"), "pt");
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_TRUE(header.tensors[0].shape.empty());
  EXPECT_EQ(header.tensors[1].dtype, DType::bf16);
  EXPECT_EQ(header.tensors[1].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.tensors[1].num_bytes(), 12u);
  EXPECT_THAT(header.warnings, ::testing::ElementsAre("tensor 'a' has an unknown field 'extra'"));
}

}  // namespace
}  // namespace polyphony::formats
