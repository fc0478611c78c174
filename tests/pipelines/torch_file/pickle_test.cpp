// SPDX-License-Identifier: Apache-2.0
// What comes of a pickle: values of all protocols, and a table of hostile ones with what is said about them.
#include "pipelines/torch_file/pickle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <ostream>

#include "core/base/files.h"
#include "core/error.h"
#include "tests/pipelines/torch_file/pickle_bytes.h"
#include "tests/support/expect_error.h"

namespace polyphony::torch_file {
namespace {

using namespace polyphony::testing;

const std::filesystem::path kCorpus = std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/fuzz/corpus/torch_file";

Pickle parse(const std::string& bytes, const PickleLimits& limits = {}) {
  return parse_pickle(as_byte_span(bytes), "pickle", limits);
}

// The value of a key of the root, which is a dict.
NodeId item(const Pickle& pickle, std::string_view key) {
  const auto items = pickle.items(pickle.root());
  for (size_t i = 0; i < items.size(); i += 2) {
    if (pickle.text(items[i]) == key) return items[i + 1];
  }
  ADD_FAILURE() << "no key " << key;
  return 0;
}

TEST(Pickle, ValuesOfAllProtocolsAreRead) {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    SCOPED_TRACE(protocol);
    const std::string bytes = read_file(kCorpus / ("values" + std::to_string(protocol) + ".pickle"), 1 << 20);
    const Pickle pickle = parse(bytes);
    EXPECT_EQ(pickle.num_bytes(), bytes.size());
    const auto list = pickle.items(item(pickle, "list"));
    ASSERT_EQ(list.size(), 8u);
    EXPECT_EQ(pickle.integer(list[0]), 1);
    EXPECT_EQ(pickle.integer(list[1]), -1);
    EXPECT_EQ(pickle.integer(list[2]), int64_t{1} << 40);
    EXPECT_EQ(pickle.kind(list[3]), NodeKind::big_integer);
    EXPECT_EQ(pickle.kind(list[4]), NodeKind::big_integer);
    EXPECT_EQ(pickle.real(list[5]), 0.5);
    EXPECT_TRUE(pickle.boolean(list[6]));
    EXPECT_EQ(pickle.kind(list[7]), NodeKind::none);
    const auto texts = pickle.items(item(pickle, "text"));
    EXPECT_EQ(pickle.text(texts[0]), "");
    EXPECT_EQ(pickle.text(texts[1]), "\xc3\xa9\n\\");
    EXPECT_EQ(pickle.text(texts[2]), std::string(300, 'a'));
    const auto tuples = pickle.items(item(pickle, "tuples"));
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(pickle.items(tuples[i]).size(), i);
    EXPECT_EQ(pickle.kind(item(pickle, "set")), NodeKind::opaque);
    EXPECT_EQ(pickle.kind(item(pickle, "frozen")), NodeKind::opaque);
    EXPECT_EQ(pickle.kind(item(pickle, "args")), NodeKind::opaque);
  }
}

TEST(Pickle, ValuesThatContainThemselvesAreHarmless) {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    const Pickle pickle = parse(read_file(kCorpus / ("loop" + std::to_string(protocol) + ".pickle"), 1 << 20));
    const NodeId loop = item(pickle, "loop");
    ASSERT_EQ(pickle.items(loop).size(), 1u);
    EXPECT_EQ(pickle.items(loop)[0], loop);
  }
  const Pickle dict = parse(stop("}q\x01" + text("me") + "h\x01s"));
  EXPECT_EQ(dict.items(dict.root())[1], dict.root());
}

TEST(Pickle, DeepNestingNeedsNoStack) {
  const Pickle pickle = parse("]" + repeated("]", 100'000) + repeated("a", 100'000) + ".");
  EXPECT_EQ(pickle.items(pickle.root()).size(), 1u);
}

TEST(Pickle, NumbersOfOldProtocols) {
  const Pickle pickle =
      parse("(I01\nI00\nI-7\nL12L\nF1.5\nFnan\nF-inf\nS'a\\x41\\n\\'\\101'\nVa\\u00e9\xe9\\U0001f600\nt.");
  const auto items = pickle.items(pickle.root());
  EXPECT_TRUE(pickle.boolean(items[0]));
  EXPECT_FALSE(pickle.boolean(items[1]));
  EXPECT_EQ(pickle.integer(items[2]), -7);
  EXPECT_EQ(pickle.integer(items[3]), 12);
  EXPECT_EQ(pickle.real(items[4]), 1.5);
  EXPECT_TRUE(std::isnan(pickle.real(items[5])));
  EXPECT_EQ(pickle.real(items[6]), -INFINITY);
  EXPECT_EQ(pickle.text(items[7]), "aA\n'A");
  EXPECT_EQ(pickle.text(items[8]), "a\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(Pickle, LongBytesAreTwosComplement) {
  using namespace std::string_literals;
  EXPECT_EQ(parse("\x8a\x00."s).kind(parse("\x8a\x00."s).root()), NodeKind::integer);
  const auto value = [](const std::string& bytes) {
    const Pickle pickle = parse("\x8a" + number(bytes.size(), 1) + bytes + ".");
    return pickle.integer(pickle.root());
  };
  EXPECT_EQ(value("\xff"), -1);
  EXPECT_EQ(value("\xff\x00"s), 255);
  EXPECT_EQ(value("\x00\x80"s), -32768);
  EXPECT_EQ(value(number(uint64_t{1} << 63, 8)), INT64_MIN);
  const Pickle magic = parse("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
  EXPECT_EQ(magic.text(magic.root()), "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
}

TEST(Pickle, OrderedDictOfPython2TakesItsPairs) {
  const Pickle pickle = parse(stop(
      call(global("collections", "OrderedDict"), "](](" + text("a") + "K\x01" + "e](" + text("b") + "K\x02" + "ee")));
  EXPECT_EQ(pickle.kind(pickle.root()), NodeKind::dict);
  EXPECT_EQ(pickle.integer(item(pickle, "b")), 2);
}

TEST(Pickle, StopsAtItsEnd) {
  const std::string one = stop("K\x07");
  EXPECT_EQ(parse(one + "cos\nsystem\n").num_bytes(), one.size());
}

struct Case {
  std::string name;
  std::string bytes;
  std::string word;  // in the message
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class HostilePickle : public ::testing::TestWithParam<Case> {};

TEST_P(HostilePickle, IsRefused) { EXPECT_REFUSED(DataError, parse(GetParam().bytes), GetParam().word.c_str()); }

const std::string kLs = tuple(text("ls"));
const std::string kOrdered = global("collections", "OrderedDict");

std::vector<Case> name_cases() {
  return {
      {"OsSystem", stop(global("os", "system") + kLs + "R"), "os.system is not allowed in a checkpoint"},
      {"PosixSystem", stop(global("posix", "system") + kLs + "R"), "posix.system is not allowed"},
      {"NtSystem", stop(global("nt", "system") + kLs + "R"), "nt.system is not allowed"},
      {"Eval", stop(global("builtins", "eval") + kLs + "R"), "builtins.eval is not allowed"},
      {"EvalOfPython2", stop(global("__builtin__", "eval") + kLs + "R"), "__builtin__.eval is not allowed"},
      {"Getattr", stop(global("builtins", "getattr")), "builtins.getattr is not allowed"},
      {"StackGlobal", stop(text("os") + text("system") + "\x93"), "os.system is not allowed"},
      {"DottedName", stop(text("torch") + text("storage._load_from_bytes") + "\x93"), "is not allowed"},
      {"LoadFromBytes", stop(global("torch.storage", "_load_from_bytes")), "torch.storage._load_from_bytes is not"},
      {"NameWithControlBytes", stop(global("o\x1bs", "system")), "o\\x1bs.system is not allowed"},
      {"AClassOfTheUser", stop(global("__main__", "Net") + ")\x81"), "__main__.Net is not allowed"},
      {"Inst", stop("(" + text("ls") + "ios\nsystem\n"), "INST is not allowed"},
      {"Obj", stop("(" + kOrdered + "o"), "OBJ is not allowed"},
      {"Ext1", stop("\x82\x01"), "EXT1 is not allowed"},
      {"Ext4", stop("\x84" + number(1, 4)), "EXT4 is not allowed"},
      {"NextBuffer", stop("\x97"), "NEXT_BUFFER is not allowed"},
      {"ReadonlyBuffer", stop("N\x98"), "READONLY_BUFFER is not allowed"},
      {"CallOfAString", stop(text("os.system") + kLs + "R"), "call of an allowed name"},
      {"CallOfACallsResult", stop(global("argparse", "Namespace") + ")R)R"), "call of an allowed name"},
      {"CallOfAStorageClass", stop(global("torch", "FloatStorage") + ")R"), "must not be called"},
      {"CallOfADType", stop(global("torch", "float32") + ")R"), "must not be called"},
      {"NewObjectOfAString", stop(text("a") + ")\x81"), "call of an allowed name"},
      {"NamedArgumentsForADict", stop(kOrdered + ")}\x92"), "named arguments"},
      {"BuildOnAList", stop("]}b"), "a state for a dict"},
      {"BuildOnAName", stop(global("argparse", "Namespace") + "}b"), "a state for a dict"},
      {"BuildOnATensor", stop(tensor() + "}b"), "a state for a dict"},
      {"UnknownCode", stop("\xff"), "operation code, got byte 255"},
  };
}

std::vector<Case> count_cases() {
  return {
      {"Empty", "", "truncated"},
      {"TextOf4GiB", stop("X" + number(0xFFFFFFFF, 4)), "expected 4294967295 more bytes"},
      {"TextOf16EiB", stop("\x8d" + number(UINT64_MAX, 8)), "expected 18446744073709551615 more bytes"},
      {"BytesOf16EiB", stop("\x8e" + number(UINT64_MAX, 8)), "more bytes"},
      {"ByteArrayOf16EiB", stop("\x96" + number(UINT64_MAX, 8)), "more bytes"},
      {"NegativeLong4", stop("\x8b" + number(0xFFFFFFFF, 4)), "more bytes"},
      {"HugeLong4", stop("\x8b" + number(0x7FFFFFFF, 4)), "more bytes"},
      {"NegativeString", stop("T" + number(0x80000000, 4)), "more bytes"},
      {"FrameBeyondTheEnd", "\x80\x04\x95" + number(1 << 20, 8) + "N.", "frame of 1048576 bytes"},
      {"Protocol6", "\x80\x06N.", "protocol up to 5, got 6"},
      {"ProtocolInTheMiddle", stop("\x80\x02N"), "only at the start"},
      {"MemoIndex2To31", stop("Nr" + number(uint64_t{1} << 31, 4)), "memo index below"},
      {"MemoIndexAsText", stop("Np99999999999999999999\n"), "memo index from 0"},
      {"MemoIndexNegative", stop("Np-1\n"), "memo index from 0"},
      {"AbsentMemo", stop("h\x05"), "memo entry 5 that was stored"},
      {"AbsentMemoBetween", stop("NNNNNq\x05h\x03"), "memo entry 3"},
      {"AbsentLongMemo", stop("j" + number(0xFFFFFFFF, 4)), "memo entry 4294967295"},
      {"MarksWithoutEnd", stop(repeated("(", 100'000)), "at most 4096 nested marks"},
      {"NoMark", stop("NNt"), "a mark on the stack"},
      {"EmptyStack", stop("0"), "a value on the stack"},
      {"AppendBelowTheMark", stop("](Na"), "a value on the stack"},
      {"PopBelowTheMark", stop("N(\x85"), "a value on the stack"},
      {"NothingLeft", "\x80\x02.", "one value at the end, got 0"},
      {"TwoLeft", stop("NN"), "one value at the end, got 2"},
      {"MarkLeft", stop("N("), "and 1 marks"},
      {"OddItems", stop("}(NNNu"), "keys with values"},
      {"AppendToADict", stop("}Na"), "expected a list, got a dict"},
      {"SetItemOfAList", stop("]NNs"), "expected a dict, got a list"},
      {"AddToAList", stop("](Nu"), "expected a dict"},
      {"AddItemsToAList", stop("](N\x90"), "expected a set"},
      {"BadInteger", stop("Iseven\n"), "an integer, got 'seven'"},
      {"BadFloat", stop("F1,5\n"), "a number, got '1,5'"},
      {"BadEscape", stop("S'\\xz0'\n"), "an escape of 2 digits"},
      {"BadUnicodeEscape", stop("V\\u12\n"), "an escape of 4 digits"},
      {"CharacterTooLarge", stop("V\\Uffffffff\n"), "up to U+10FFFF"},
      {"NoQuotes", stop("Sabc\n"), "in quotes"},
      {"LineWithoutEnd", "Vabc", "a line end"},
  };
}

std::vector<Case> torch_cases() {
  const auto pid = [](std::string_view items) { return stop(tuple(items) + "Q"); };
  const std::string cls = global("torch", "FloatStorage");
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  TensorPickle untyped{.more = "\x89NN", .function = "_rebuild_tensor_v3"};
  return {
      {"PersistentIdAsText", stop("Pstorage\n"), "expected a tuple as persistent id"},
      {"PersistentIdOfAString", stop(text("storage") + "Q"), "expected a tuple as persistent id"},
      {"PersistentIdTooShort", pid(text("storage") + cls), "of 5 or 6 items, got 2"},
      {"PersistentIdOfAModule", pid(text("module") + cls + text("0") + text("cpu") + "K\x01"), "of a storage"},
      {"PersistentIdWithoutClass", pid(text("storage") + "N" + text("0") + text("cpu") + "K\x01"), "storage class"},
      {"PersistentIdNumberAsKey", pid(text("storage") + cls + "K\x01" + text("cpu") + "K\x01"), "str as the key"},
      {"NegativeStorage", pid(text("storage") + cls + text("0") + text("cpu") + integer(-1)), "a size from 0, got -1"},
      {"TensorWithoutArguments", stop(rebuild + ")R"), "at least 4 arguments, got 0"},
      {"TensorOfAString", stop(call(rebuild, text("a") + "K\x01)))")), "expected a storage, got a str"},
      {"SizesAsAList", stop(call(rebuild, storage({}) + "K\x01])")), "sizes and strides in tuples"},
      {"ParameterOfAString", stop(call(global("torch._utils", "_rebuild_parameter"), text("a"))), "expected a tensor"},
      {"SizeOfAnInteger", stop(call(global("torch", "Size"), "K\x01")), "expected one tuple"},
      {"TensorV3WithoutType", stop(tensor(untyped)), "untyped storage and an element type"},
      {"OrderedDictOfSingles", stop(call(kOrdered, "](]a")), "expected a"},
      {"OrderedDictOfTriples", stop(call(kOrdered, "]](NNNea")), "expected pairs, got 3"},
      {"ArgumentsAsAList", stop(kOrdered + "]R"), "a tuple of arguments, got a list"},
  };
}

INSTANTIATE_TEST_SUITE_P(Names, HostilePickle, ::testing::ValuesIn(name_cases()),
                         [](const auto& row) { return row.param.name; });
INSTANTIATE_TEST_SUITE_P(Counts, HostilePickle, ::testing::ValuesIn(count_cases()),
                         [](const auto& row) { return row.param.name; });
INSTANTIATE_TEST_SUITE_P(Torch, HostilePickle, ::testing::ValuesIn(torch_cases()),
                         [](const auto& row) { return row.param.name; });

TEST(Pickle, EveryPrefixIsRefused) {
  for (int protocol = 0; protocol <= 5; ++protocol) {
    const std::string bytes = read_file(kCorpus / ("values" + std::to_string(protocol) + ".pickle"), 1 << 20);
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_THROW(parse(bytes.substr(0, n)), DataError) << protocol << " cut at " << n;
    }
  }
}

TEST(Pickle, LimitsHold) {
  EXPECT_REFUSED(DataError, parse(stop("(" + repeated("K\x01", 50) + "t"), {.max_nodes = 40}), "at most 40 values");
  EXPECT_REFUSED(DataError, parse(stop("(" + repeated("N", 50) + "t"), {.max_stack = 40}), "a stack of at most 40");
  EXPECT_REFUSED(DataError, parse(stop(repeated("Nq\x01", 30)), {.max_memo = 1}), "memo index below 1");
  EXPECT_REFUSED(DataError, parse(stop(text("hello")), {.max_text_bytes = 4}), "texts of at most 4 bytes, got 5");
  EXPECT_REFUSED(DataError, parse(stop(text("hello")), {.max_bytes = 6}), "too large");
  // A list of 100 pairs, named by a few bytes again and again.
  const std::string pairs = "](" + repeated("(NNt", 100) + "eq\x01" + "0";
  const std::string many = repeated(call(kOrdered, "h\x01") + "0", 100) + "N";
  EXPECT_REFUSED(DataError, parse(stop(pairs + many), {.max_nodes = 5000}), "at most 5000 values");
}

}  // namespace
}  // namespace polyphony::torch_file
