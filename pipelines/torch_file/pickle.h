// SPDX-License-Identifier: Apache-2.0
// One Python pickle as plain data: the values that torch.save writes, and nothing that could run.
// Source: Python's Lib/pickletools.py (what each operation means, protocols 0 to 5) and Lib/pickle.py. Narrower on
// purpose: names outside the allow-list (pickle_globals.h), old-style instances, extension codes, buffers out of band,
// calls of anything but an allowed name and what no pickler writes are refused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/dtype.h"
#include "pipelines/torch_file/pickle_globals.h"

namespace polyphony::torch_file {

// A value of the pickle: an index into its arena. Lists and dicts may contain themselves; nothing here follows them.
using NodeId = uint32_t;

enum class NodeKind : uint8_t {
  none,
  boolean,
  integer,
  big_integer,  // does not fit 64 bits: its bytes in little-endian two's complement, or its decimal digits
  real,
  text,   // str, and the strings of Python 2; not checked to be UTF-8
  bytes,  // bytes, bytearray
  list,
  tuple,
  dict,    // items: key, value, key, value, in the order of the file; a key may come twice
  global,  // an allowed name
  storage,
  tensor,
  opaque,  // a value that we do not model, made by a name: an argparse.Namespace, a set
};
constexpr int kNumNodeKinds = 14;
std::string_view node_kind_name(NodeKind kind);

// The persistent id ("storage", class, key, location, size[, view]).
struct StorageNode {
  NodeId key = 0;                       // text
  std::optional<formats::DType> dtype;  // empty: untyped, the size is in bytes
  uint64_t num_elements = 0;
  bool has_view = false;  // the sixth item is there and is not None
};

// A call of torch._utils._rebuild_tensor*. Not checked against its storage.
struct TensorNode {
  NodeId storage = 0;
  NodeId sizes = 0;                     // tuple of anything
  NodeId strides = 0;                   // tuple of anything
  int64_t offset = 0;                   // elements; may be negative
  std::optional<formats::DType> dtype;  // empty: neither the storage nor the call gives one
};

struct PickleLimits {
  uint64_t max_bytes = uint64_t{256} << 20;  // of the pickle
  size_t max_nodes = 20'000'000;             // values, and items that calls copy
  size_t max_memo = 20'000'000;
  size_t max_stack = 2'000'000;
  size_t max_marks = 4'096;  // tuples and so on that are open at the same time
  size_t max_text_bytes = size_t{64} << 20;
};

// The arena. An accessor of the wrong kind throws DataError.
class Pickle {
 public:
  NodeId root() const { return root_; }
  size_t num_bytes() const { return num_bytes_; }  // consumed, up to and with the STOP
  size_t num_nodes() const { return nodes_.size(); }

  NodeKind kind(NodeId id) const { return nodes_[id].kind; }
  bool boolean(NodeId id) const { return expect(id, NodeKind::boolean).integer != 0; }
  int64_t integer(NodeId id) const { return expect(id, NodeKind::integer).integer; }
  double real(NodeId id) const { return expect(id, NodeKind::real).real; }
  std::string_view text(NodeId id) const;          // of text, bytes and big_integer
  std::span<const NodeId> items(NodeId id) const;  // of list, tuple and dict
  const StorageNode& storage(NodeId id) const { return storages_[expect(id, NodeKind::storage).begin]; }
  const TensorNode& tensor(NodeId id) const { return tensors_[expect(id, NodeKind::tensor).begin]; }
  const AllowedGlobal& global(NodeId id) const;  // of global and opaque

  const std::vector<StorageNode>& storages() const { return storages_; }  // one for each mention

 private:
  friend class PickleBuilder;
  struct Node {
    NodeKind kind = NodeKind::none;
    uint32_t size = 0;  // of text, bytes, big_integer and tuple
    union {
      int64_t integer = 0;
      double real;
      uint64_t begin;  // into text_, tuple_items_, mutable_items_, storages_ or tensors_
      const AllowedGlobal* global;
    };
  };
  const Node& expect(NodeId id, NodeKind kind) const;

  std::vector<Node> nodes_;
  std::string text_;
  std::vector<NodeId> tuple_items_;
  std::deque<std::vector<NodeId>> mutable_items_;  // of lists and dicts
  std::vector<StorageNode> storages_;
  std::vector<TensorNode> tensors_;
  NodeId root_ = 0;
  size_t num_bytes_ = 0;
};

// Reads the first pickle of `bytes`; what follows its STOP is not looked at. `where` starts the messages. Time and
// memory are linear in the bytes read. Throws DataError with the offset of the fault.
Pickle parse_pickle(std::span<const std::byte> bytes, std::string_view where = "pickle",
                    const PickleLimits& limits = {});

}  // namespace polyphony::torch_file
