// SPDX-License-Identifier: Apache-2.0
// JSON text -> the config tree, with the line of every key and duplicate keys refused.
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/config_node.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::config_detail {

namespace {

// nlohmann's events carry no position, so its input iterator counts lines as it reads.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  int64_t* line;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    if (*at++ == '\n') ++*line;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
};

// nlohmann's SAX interface fixes the names of these functions.
class TreeBuilder {
 public:
  TreeBuilder(std::string_view text, const std::string& name, const int64_t* line)
      : text_(text), name_(name), line_(line) {}

  bool null() { return add(Null{}); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) {
    check<ConfigError>(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), here(),
                       ": expected a number that fits in 64 bits, got ", value);
    return add(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(std::vector<uint8_t>&) { return false; }  // never in JSON text
  bool start_object(size_t) { return open(Table{}); }
  bool start_array(size_t) { return open(Array{}); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& value) {
    auto& table = std::get<Table>(open_.back()->value);
    check<ConfigError>(find(table, value) == nullptr, here(), ": expected each key once, got '", printable(value),
                       "' again");
    key_ = std::move(value);
    key_line_ = *line_;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    const std::string_view before = text_.substr(0, position > 0 ? position - 1 : 0);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    const std::string what = error.what();
    const size_t colon = what.find(": ");
    fail<ConfigError>(name_, ":", line, ":", before.size() - line_start + 1, ": ",
                      printable(colon == std::string::npos ? what : what.substr(colon + 2), 300));
  }

  Node take() { return std::move(root_); }

 private:
  std::string here() const { return join(name_, ":", *line_); }

  Node* place(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    if (auto* array = std::get_if<Array>(&open_.back()->value)) return &array->emplace_back(std::move(node));
    node.where = join(name_, ":", key_line_);
    auto& table = std::get<Table>(open_.back()->value);
    table.push_back({std::move(key_), std::move(node)});
    return &table.back().node;
  }
  bool add(decltype(Node::value) value) {
    place({.value = std::move(value), .where = here()});
    return true;
  }
  // An array may move its items as it grows, but only while none of them is open.
  bool open(decltype(Node::value) value) {
    check<ConfigError>(open_.size() < static_cast<size_t>(kMaxDepth), here(), ": expected at most ", kMaxDepth,
                       " nested values, got more");
    open_.push_back(place({.value = std::move(value), .where = here()}));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::string& name_;
  const int64_t* line_;
  Node root_;
  std::vector<Node*> open_;
  std::string key_;
  int64_t key_line_ = 1;
};

}  // namespace

Node parse_json(std::string_view text, const std::string& name) {
  int64_t line = 1;
  TreeBuilder builder(text, name, &line);
  const char* const begin = text.data();
  nlohmann::json::sax_parse(CountingIterator{begin, &line}, CountingIterator{begin + text.size(), &line}, &builder);
  Node root = builder.take();
  check<ConfigError>(std::holds_alternative<Table>(root.value), name, ":1:1: expected an object { }, got ",
                     kind_name(root));
  return root;
}

}  // namespace polyphony::config_detail
