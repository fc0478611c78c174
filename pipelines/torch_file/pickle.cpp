// SPDX-License-Identifier: Apache-2.0
// The stack machine of a pickle: operation codes in, nodes out. A loop with no recursion and no calls.
#include "pipelines/torch_file/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/torch_file/pickle_builder.h"
#include "pipelines/torch_file/pickle_input.h"
#include "pipelines/torch_file/pickle_text.h"

namespace polyphony::torch_file {
namespace {

constexpr NodeId kAbsent = UINT32_MAX;
constexpr uint8_t kStop = '.';
constexpr uint8_t kProtocol = 0x80;
constexpr uint8_t kMaxProtocol = 5;

struct RefusedOperation {
  uint8_t code;
  std::string_view name;
};
constexpr std::array kRefused = {
    RefusedOperation{'i', "INST"},
    RefusedOperation{'o', "OBJ"},
    RefusedOperation{0x82, "EXT1"},
    RefusedOperation{0x83, "EXT2"},
    RefusedOperation{0x84, "EXT4"},
    RefusedOperation{0x97, "NEXT_BUFFER"},
    RefusedOperation{0x98, "READONLY_BUFFER"},
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const PickleLimits& limits)
      : input_(bytes, limits.max_bytes), limits_(limits), builder_(limits) {}

  size_t operation_at() const { return operation_at_; }

  Pickle run() {
    for (uint8_t code = take_code(); code != kStop; code = take_code()) {
      if (!scalar(code) && !string(code) && !container(code) && !stack(code) && !call(code)) refuse(code);
    }
    check<DataError>(stack_.size() == 1 && marks_.empty(), "[pickle] expected one value at the end, got ",
                     stack_.size(), " and ", marks_.size(), " marks");
    return builder_.finish(stack_[0], input_.at());
  }

 private:
  uint8_t take_code() {
    operation_at_ = input_.at();
    return static_cast<uint8_t>(input_.take(1)[0]);
  }

  // Stack. Values below the last mark are out of reach.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  bool push(NodeId id) {
    check<DataError>(stack_.size() < limits_.max_stack, "[pickle] expected a stack of at most ", limits_.max_stack,
                     " values");
    stack_.push_back(id);
    return true;
  }
  NodeId top() const {
    check<DataError>(stack_.size() > floor(), "[pickle] expected a value on the stack");
    return stack_.back();
  }
  NodeId pop() {
    const NodeId id = top();
    stack_.pop_back();
    return id;
  }
  std::vector<NodeId> pop_to_mark() {
    check<DataError>(!marks_.empty(), "[pickle] expected a mark on the stack");
    std::vector<NodeId> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  bool scalar(uint8_t code) {
    switch (code) {
      case 'N':
        return push(PickleBuilder::none());
      case 0x88:  // NEWTRUE
        return push(PickleBuilder::boolean(true));
      case 0x89:  // NEWFALSE
        return push(PickleBuilder::boolean(false));
      case 'J':  // BININT
        return push(builder_.integer(static_cast<int32_t>(input_.take_number(4))));
      case 'K':  // BININT1
        return push(builder_.integer(static_cast<int64_t>(input_.take_number(1))));
      case 'M':  // BININT2
        return push(builder_.integer(static_cast<int64_t>(input_.take_number(2))));
      case 'G': {  // BINFLOAT: big-endian
        uint64_t bits = 0;
        for (const char byte : input_.take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
        return push(builder_.real(std::bit_cast<double>(bits)));
      }
      case 0x8a:  // LONG1
        return push(long_bytes(input_.take(input_.take_number(1))));
      case 0x8b:  // LONG4; a negative count is above all limits
        return push(long_bytes(input_.take(input_.take_number(4))));
      case 'I': {  // INT; 00 and 01 are the booleans of old protocols
        const std::string_view line = input_.take_line();
        return push(line == "00" || line == "01" ? PickleBuilder::boolean(line == "01") : long_digits(line));
      }
      case 'L': {  // LONG
        std::string_view line = input_.take_line();
        if (line.ends_with('L')) line.remove_suffix(1);
        return push(long_digits(line));
      }
      case 'F': {  // FLOAT
        const std::string_view line = input_.take_line();
        const std::optional<double> value = parse_number(line);
        check<DataError>(value.has_value(), "[pickle] expected a number, got '", printable(line, 40), "'");
        return push(builder_.real(*value));
      }
      default:
        return false;
    }
  }
  NodeId long_bytes(std::string_view bytes) {
    if (bytes.size() > 8) return builder_.text(NodeKind::big_integer, bytes);
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return builder_.integer(static_cast<int64_t>(value));
  }
  NodeId long_digits(std::string_view digits) {
    if (const std::optional<int64_t> value = parse_integer(digits)) return builder_.integer(*value);
    const std::string_view unsigned_digits = digits.substr(digits.starts_with('-') ? 1 : 0);
    check<DataError>(
        !unsigned_digits.empty() && unsigned_digits.find_first_not_of("0123456789") == std::string_view::npos,
        "[pickle] expected an integer, got '", printable(digits, 40), "'");
    return builder_.text(NodeKind::big_integer, digits);
  }

  bool string(uint8_t code) {
    switch (code) {
      case 'X':  // BINUNICODE
      case 'T':  // BINSTRING; a negative count is above all limits
        return push(builder_.text(NodeKind::text, input_.take(input_.take_number(4))));
      case 0x8c:  // SHORT_BINUNICODE
      case 'U':   // SHORT_BINSTRING
        return push(builder_.text(NodeKind::text, input_.take(input_.take_number(1))));
      case 0x8d:  // BINUNICODE8
        return push(builder_.text(NodeKind::text, input_.take(input_.take_number(8))));
      case 'V':  // UNICODE
        return push(builder_.text(NodeKind::text, unescape_unicode(input_.take_line())));
      case 'S':  // STRING
        return push(builder_.text(NodeKind::text, unquote_python(input_.take_line())));
      case 'B':  // BINBYTES
        return push(builder_.text(NodeKind::bytes, input_.take(input_.take_number(4))));
      case 'C':  // SHORT_BINBYTES
        return push(builder_.text(NodeKind::bytes, input_.take(input_.take_number(1))));
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return push(builder_.text(NodeKind::bytes, input_.take(input_.take_number(8))));
      default:
        return false;
    }
  }

  bool container(uint8_t code) {
    switch (code) {
      case ')':  // EMPTY_TUPLE
        return push(builder_.tuple({}));
      case 't':  // TUPLE
        return push(builder_.tuple(pop_to_mark()));
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return short_tuple(code - 0x84);
      case ']':  // EMPTY_LIST
        return push(builder_.growing(NodeKind::list));
      case '}':  // EMPTY_DICT
        return push(builder_.growing(NodeKind::dict));
      case 'l':  // LIST
        return grown(NodeKind::list, pop_to_mark());
      case 'd':  // DICT
        return grown(NodeKind::dict, pop_to_mark());
      case 'a': {  // APPEND
        const std::array item = {pop()};
        return extend(NodeKind::list, item);
      }
      case 'e':  // APPENDS
        return extend(NodeKind::list, pop_to_mark());
      case 's': {  // SETITEM
        const NodeId value = pop();
        const std::array pair = {pop(), value};
        return extend(NodeKind::dict, pair);
      }
      case 'u':  // SETITEMS
        return extend(NodeKind::dict, pop_to_mark());
      case 0x8f:  // EMPTY_SET
        return push(builder_.global(NodeKind::opaque, find_allowed_global("builtins", "set")));
      case 0x90:  // ADDITEMS
        pop_to_mark();
        check<DataError>(builder_.pickle().kind(top()) == NodeKind::opaque, "[pickle] expected a set, got ",
                         node_kind_name(builder_.pickle().kind(top())));
        return true;
      case 0x91:  // FROZENSET
        pop_to_mark();
        return push(builder_.global(NodeKind::opaque, find_allowed_global("builtins", "frozenset")));
      default:
        return false;
    }
  }
  bool short_tuple(size_t num_items) {
    std::array<NodeId, 3> items{};
    for (size_t i = num_items; i-- > 0;) items[i] = pop();
    return push(builder_.tuple(std::span(items).first(num_items)));
  }
  bool grown(NodeKind kind, const std::vector<NodeId>& items) {
    push(builder_.growing(kind));
    return extend(kind, items);
  }
  bool extend(NodeKind kind, std::span<const NodeId> items) {
    builder_.append(top(), kind, items);
    return true;
  }

  bool stack(uint8_t code) {
    switch (code) {
      case kProtocol:
        check<DataError>(operation_at_ == 0, "[pickle] expected the protocol only at the start");
        if (const uint64_t version = input_.take_number(1); version > kMaxProtocol) {
          fail<DataError>("[pickle] expected a protocol up to 5, got ", version);
        }
        return true;
      case 0x95:  // FRAME: a hint for buffering
        if (const uint64_t length = input_.take_number(8); length > input_.num_left()) {
          fail<DataError>("[pickle] expected a frame of ", length, " bytes, but only ", input_.num_left(),
                          " are left: the pickle is truncated");
        }
        return true;
      case '(':  // MARK
        check<DataError>(marks_.size() < limits_.max_marks, "[pickle] expected at most ", limits_.max_marks,
                         " nested marks");
        marks_.push_back(stack_.size());
        return true;
      case '0':  // POP takes a mark if one is on top
        if (!marks_.empty() && marks_.back() == stack_.size()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      case '1':  // POP_MARK
        pop_to_mark();
        return true;
      case '2':  // DUP
        return push(top());
      case 'q':  // BINPUT
        return put(input_.take_number(1));
      case 'r':  // LONG_BINPUT
        return put(input_.take_number(4));
      case 'p':  // PUT
        return put(take_index());
      case 0x94:  // MEMOIZE
        return put(num_memo_);
      case 'h':  // BINGET
        return get(input_.take_number(1));
      case 'j':  // LONG_BINGET
        return get(input_.take_number(4));
      case 'g':  // GET
        return get(take_index());
      default:
        return false;
    }
  }
  uint64_t take_index() {
    const std::string_view line = input_.take_line();
    const std::optional<int64_t> index = parse_integer(line);
    check<DataError>(index && *index >= 0, "[pickle] expected a memo index from 0, got '", printable(line, 40), "'");
    return static_cast<uint64_t>(*index);
  }
  bool put(uint64_t index) {
    // Picklers number from 0 upwards, so an index above the bytes read is a lie that would cost memory.
    check<DataError>(index < limits_.max_memo && index < input_.at(), "[pickle] expected a memo index below ",
                     std::min(limits_.max_memo, input_.at()), ", got ", index);
    if (index >= memo_.size()) memo_.resize(static_cast<size_t>(index) + 1, kAbsent);
    if (memo_[index] == kAbsent) ++num_memo_;
    memo_[index] = top();
    return true;
  }
  bool get(uint64_t index) {
    check<DataError>(index < memo_.size() && memo_[index] != kAbsent, "[pickle] expected a memo entry ", index,
                     " that was stored before");
    return push(memo_[index]);
  }

  bool call(uint8_t code) {
    switch (code) {
      case 'c': {  // GLOBAL
        const std::string_view module = input_.take_line();
        return named(module, input_.take_line());
      }
      case 0x93: {  // STACK_GLOBAL
        const NodeId name = pop();
        const NodeId module = pop();
        const Pickle& pickle = builder_.pickle();
        check<DataError>(pickle.kind(name) == NodeKind::text && pickle.kind(module) == NodeKind::text,
                         "[pickle] expected a module and a name as strings");
        return named(pickle.text(module), pickle.text(name));
      }
      case 'R':     // REDUCE
      case 0x81: {  // NEWOBJ
        const NodeId arguments = pop();
        return push(builder_.call(pop(), arguments));
      }
      case 0x92: {  // NEWOBJ_EX: with named arguments, which only values that we do not model take
        const NodeId named_arguments = pop();
        const NodeId arguments = pop();
        const NodeId made = builder_.call(pop(), arguments);
        check<DataError>(builder_.pickle().kind(named_arguments) == NodeKind::dict &&
                             builder_.pickle().kind(made) == NodeKind::opaque,
                         "[pickle] expected named arguments only for an opaque value");
        return push(made);
      }
      case 'b': {  // BUILD: the state is dropped, such as an OrderedDict's _metadata
        pop();
        const NodeKind kind = builder_.pickle().kind(top());
        check<DataError>(kind == NodeKind::dict || kind == NodeKind::opaque,
                         "[pickle] expected a state for a dict or an opaque value, got one for ", node_kind_name(kind));
        return true;
      }
      case 'Q':  // BINPERSID
        return push(builder_.persistent(pop()));
      case 'P':  // PERSID: an id as text, which torch.save does not write
        fail<DataError>("[pickle] expected a tuple as persistent id, got '", printable(input_.take_line(), 40), "'");
      default:
        return false;
    }
  }
  bool named(std::string_view module, std::string_view name) {
    const AllowedGlobal* row = find_allowed_global(module, name);
    if (row == nullptr) {
      fail<DataError>("[pickle] ", printable(module), ".", printable(name), " is not allowed in a checkpoint");
    }
    return push(builder_.global(NodeKind::global, row));
  }

  [[noreturn]] static void refuse(uint8_t code) {
    const auto row = std::ranges::find(kRefused, code, &RefusedOperation::code);
    if (row != kRefused.end()) fail<DataError>("[pickle] operation ", row->name, " is not allowed in a checkpoint");
    fail<DataError>("[pickle] expected an operation code, got byte ", int{code});
  }

  PickleInput input_;
  size_t operation_at_ = 0;
  const PickleLimits& limits_;
  PickleBuilder builder_;
  std::vector<NodeId> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::vector<NodeId> memo_;
  size_t num_memo_ = 0;
};

}  // namespace

Pickle parse_pickle(std::span<const std::byte> bytes, std::string_view where, const PickleLimits& limits) {
  Machine machine(bytes, limits);
  try {
    return machine.run();
  } catch (const DataError& error) {
    fail<DataError>("[", where, "] pickle byte ", machine.operation_at(), ": ",
                    std::string_view(error.what()).substr(std::string_view("[pickle] ").size()));
  }
}

}  // namespace polyphony::torch_file
