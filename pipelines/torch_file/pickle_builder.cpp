// SPDX-License-Identifier: Apache-2.0
// The arena of a pickle, and what the allowed calls become in it.
#include "pipelines/torch_file/pickle_builder.h"

#include <array>
#include <utility>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::torch_file {
namespace {

constexpr std::array<std::string_view, kNumNodeKinds> kKindNames = {
    "None",     "a bool",          "an integer", "an integer above 64 bits",
    "a float",  "a str",           "bytes",      "a list",
    "a tuple",  "a dict",          "a name",     "a storage",
    "a tensor", "an opaque value",
};

}  // namespace

std::string_view node_kind_name(NodeKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

std::string shown(const AllowedGlobal& global) { return join(global.module, ".", global.name); }

const Pickle::Node& Pickle::expect(NodeId id, NodeKind kind) const {
  const Node& node = nodes_[id];
  check<DataError>(node.kind == kind, "[pickle] expected ", node_kind_name(kind), ", got ", node_kind_name(node.kind));
  return node;
}

std::string_view Pickle::text(NodeId id) const {
  const Node& node = nodes_[id];
  check<DataError>(node.kind == NodeKind::text || node.kind == NodeKind::bytes || node.kind == NodeKind::big_integer,
                   "[pickle] expected a str, got ", node_kind_name(node.kind));
  return std::string_view(text_).substr(node.begin, node.size);
}

std::span<const NodeId> Pickle::items(NodeId id) const {
  const Node& node = nodes_[id];
  if (node.kind == NodeKind::tuple) return std::span(tuple_items_).subspan(node.begin, node.size);
  check<DataError>(node.kind == NodeKind::list || node.kind == NodeKind::dict,
                   "[pickle] expected a list, tuple or dict, got ", node_kind_name(node.kind));
  return mutable_items_[node.begin];
}

const AllowedGlobal& Pickle::global(NodeId id) const {
  const Node& node = nodes_[id];
  check<DataError>(node.kind == NodeKind::global || node.kind == NodeKind::opaque, "[pickle] expected a name, got ",
                   node_kind_name(node.kind));
  return *node.global;
}

PickleBuilder::PickleBuilder(const PickleLimits& limits) : limits_(limits) {
  pickle_.nodes_.resize(3);
  pickle_.nodes_[boolean(false)] = {.kind = NodeKind::boolean, .integer = 0};
  pickle_.nodes_[boolean(true)] = {.kind = NodeKind::boolean, .integer = 1};
}

Pickle PickleBuilder::finish(NodeId root, size_t num_bytes) {
  pickle_.root_ = root;
  pickle_.num_bytes_ = num_bytes;
  return std::move(pickle_);
}

NodeId PickleBuilder::add(Pickle::Node node) {
  check<DataError>(pickle_.nodes_.size() + num_copied_ < limits_.max_nodes, "[pickle] expected at most ",
                   limits_.max_nodes, " values");
  pickle_.nodes_.push_back(node);
  return static_cast<NodeId>(pickle_.nodes_.size() - 1);
}

NodeId PickleBuilder::integer(int64_t value) { return add({.kind = NodeKind::integer, .integer = value}); }

NodeId PickleBuilder::real(double value) { return add({.kind = NodeKind::real, .real = value}); }

NodeId PickleBuilder::text(NodeKind kind, std::string_view value) {
  check<DataError>(value.size() <= limits_.max_text_bytes, "[pickle] expected texts of at most ",
                   limits_.max_text_bytes, " bytes, got ", value.size());
  const uint64_t begin = pickle_.text_.size();
  pickle_.text_ += value;
  return add({.kind = kind, .size = static_cast<uint32_t>(value.size()), .begin = begin});
}

NodeId PickleBuilder::tuple(std::span<const NodeId> items) {
  const uint64_t begin = pickle_.tuple_items_.size();
  pickle_.tuple_items_.insert(pickle_.tuple_items_.end(), items.begin(), items.end());
  return add({.kind = NodeKind::tuple, .size = static_cast<uint32_t>(items.size()), .begin = begin});
}

NodeId PickleBuilder::growing(NodeKind kind) {
  pickle_.mutable_items_.emplace_back();
  return add({.kind = kind, .begin = pickle_.mutable_items_.size() - 1});
}

NodeId PickleBuilder::global(NodeKind kind, const AllowedGlobal* row) { return add({.kind = kind, .global = row}); }

void PickleBuilder::append(NodeId id, NodeKind kind, std::span<const NodeId> items) {
  const uint64_t begin = pickle_.expect(id, kind).begin;
  check<DataError>(kind != NodeKind::dict || items.size() % 2 == 0, "[pickle] expected keys with values, got ",
                   items.size(), " items");
  pickle_.mutable_items_[begin].insert(pickle_.mutable_items_[begin].end(), items.begin(), items.end());
}

NodeId PickleBuilder::persistent(NodeId id) {
  check<DataError>(pickle_.kind(id) == NodeKind::tuple, "[pickle] expected a tuple as persistent id, got ",
                   node_kind_name(pickle_.kind(id)));
  const std::span<const NodeId> items = pickle_.items(id);
  check<DataError>(items.size() == 5 || items.size() == 6, "[pickle] expected a persistent id of 5 or 6 items, got ",
                   items.size());
  check<DataError>(pickle_.kind(items[0]) == NodeKind::text && pickle_.text(items[0]) == "storage",
                   "[pickle] expected the persistent id of a storage");
  check<DataError>(
      pickle_.kind(items[1]) == NodeKind::global && pickle_.global(items[1]).role == GlobalRole::storage_class,
      "[pickle] expected a storage class in a persistent id");
  check<DataError>(pickle_.kind(items[2]) == NodeKind::text, "[pickle] expected a str as the key of a storage, got ",
                   node_kind_name(pickle_.kind(items[2])));
  const int64_t num_elements = pickle_.integer(items[4]);
  check<DataError>(num_elements >= 0, "[pickle] storage '", printable(pickle_.text(items[2])),
                   "': expected a size from 0, got ", num_elements);
  pickle_.storages_.push_back({.key = items[2],
                               .dtype = pickle_.global(items[1]).dtype,
                               .num_elements = static_cast<uint64_t>(num_elements),
                               .has_view = items.size() == 6 && pickle_.kind(items[5]) != NodeKind::none});
  return add({.kind = NodeKind::storage, .begin = pickle_.storages_.size() - 1});
}

NodeId PickleBuilder::call(NodeId callee, NodeId arguments) {
  check<DataError>(pickle_.kind(callee) == NodeKind::global, "[pickle] expected a call of an allowed name, got one of ",
                   node_kind_name(pickle_.kind(callee)));
  check<DataError>(pickle_.kind(arguments) == NodeKind::tuple, "[pickle] expected a tuple of arguments, got ",
                   node_kind_name(pickle_.kind(arguments)));
  const AllowedGlobal& name = pickle_.global(callee);
  const std::span<const NodeId> items = pickle_.items(arguments);
  switch (name.role) {
    case GlobalRole::ordered_dict:
    case GlobalRole::default_dict:
      return call_dict(name, items);
    case GlobalRole::rebuild_tensor:
    case GlobalRole::rebuild_tensor_v3:
      return call_tensor(name, items);
    case GlobalRole::rebuild_parameter:
      check<DataError>(!items.empty() && pickle_.kind(items[0]) == NodeKind::tensor, "[pickle] ", shown(name),
                       ": expected a tensor as first argument");
      return items[0];
    case GlobalRole::size:
      check<DataError>(items.size() == 1 && pickle_.kind(items[0]) == NodeKind::tuple, "[pickle] ", shown(name),
                       ": expected one tuple");
      return items[0];
    case GlobalRole::inert:
      return global(NodeKind::opaque, &name);
    case GlobalRole::storage_class:
    case GlobalRole::dtype:
      break;
  }
  fail<DataError>("[pickle] ", shown(name), " must not be called in a checkpoint");
}

// Python 2 wrote OrderedDict([[key, value], ...]); later versions call without arguments and add the items.
NodeId PickleBuilder::call_dict(const AllowedGlobal& callee, std::span<const NodeId> arguments) {
  check<DataError>(arguments.size() <= 1, "[pickle] ", shown(callee), ": expected at most 1 argument, got ",
                   arguments.size());
  std::vector<NodeId> copied;
  if (callee.role == GlobalRole::ordered_dict && !arguments.empty()) {
    check<DataError>(pickle_.kind(arguments[0]) != NodeKind::dict, "[pickle] ", shown(callee),
                     ": expected a list of pairs, got a dict");
    const std::span<const NodeId> pairs = pickle_.items(arguments[0]);
    // A few bytes can name a long list again and again: what is copied counts like new values.
    num_copied_ += 2 * pairs.size();
    check<DataError>(pickle_.nodes_.size() + num_copied_ < limits_.max_nodes, "[pickle] expected at most ",
                     limits_.max_nodes, " values");
    for (const NodeId pair : pairs) {
      const std::span<const NodeId> items = pickle_.items(pair);
      check<DataError>(items.size() == 2, "[pickle] ", shown(callee), ": expected pairs, got ", items.size(), " items");
      copied.insert(copied.end(), items.begin(), items.end());
    }
  }
  const NodeId dict = growing(NodeKind::dict);
  append(dict, NodeKind::dict, copied);
  return dict;
}

NodeId PickleBuilder::call_tensor(const AllowedGlobal& callee, std::span<const NodeId> arguments) {
  const bool is_v3 = callee.role == GlobalRole::rebuild_tensor_v3;
  const size_t needed = is_v3 ? 7 : 4;
  check<DataError>(arguments.size() >= needed, "[pickle] ", shown(callee), ": expected at least ", needed,
                   " arguments, got ", arguments.size());
  check<DataError>(pickle_.kind(arguments[2]) == NodeKind::tuple && pickle_.kind(arguments[3]) == NodeKind::tuple,
                   "[pickle] ", shown(callee), ": expected sizes and strides in tuples");
  TensorNode tensor{.storage = arguments[0],
                    .sizes = arguments[2],
                    .strides = arguments[3],
                    .offset = pickle_.integer(arguments[1]),
                    .dtype = pickle_.storage(arguments[0]).dtype};
  if (is_v3) {
    const bool is_dtype =
        pickle_.kind(arguments[6]) == NodeKind::global && pickle_.global(arguments[6]).role == GlobalRole::dtype;
    check<DataError>(is_dtype && !tensor.dtype, "[pickle] ", shown(callee),
                     ": expected an untyped storage and an element type");
    tensor.dtype = pickle_.global(arguments[6]).dtype;
  }
  pickle_.tensors_.push_back(tensor);
  return add({.kind = NodeKind::tensor, .begin = pickle_.tensors_.size() - 1});
}

}  // namespace polyphony::torch_file
