// SPDX-License-Identifier: Apache-2.0
// Adds values to a pickle's arena and counts them against the limits. Internal to the pickle reader.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "pipelines/torch_file/pickle.h"

namespace polyphony::torch_file {

class PickleBuilder {
 public:
  explicit PickleBuilder(const PickleLimits& limits);

  const Pickle& pickle() const { return pickle_; }
  Pickle finish(NodeId root, size_t num_bytes);

  // None, False and True are one node each.
  static NodeId none() { return 0; }
  static NodeId boolean(bool value) { return value ? 2 : 1; }
  NodeId integer(int64_t value);
  NodeId real(double value);
  NodeId text(NodeKind kind, std::string_view value);
  NodeId tuple(std::span<const NodeId> items);
  NodeId growing(NodeKind kind);  // an empty list or dict
  NodeId global(NodeKind kind, const AllowedGlobal* row);

  // Puts items at the end of a list or dict. Throws DataError for other kinds, and for half a pair.
  void append(NodeId id, NodeKind kind, std::span<const NodeId> items);

  // What a persistent id stands for. Throws DataError for all but ("storage", class, key, location, size[, view]).
  NodeId persistent(NodeId id);
  // What a call gives, without calling. Throws DataError if the callee is no allowed name or the arguments are not
  // what torch.save writes for it.
  NodeId call(NodeId callee, NodeId arguments);

 private:
  NodeId add(Pickle::Node node);
  NodeId call_dict(const AllowedGlobal& callee, std::span<const NodeId> arguments);
  NodeId call_tensor(const AllowedGlobal& callee, std::span<const NodeId> arguments);

  PickleLimits limits_;
  size_t num_copied_ = 0;
  Pickle pickle_;
};

// "torch.device", as messages show it.
std::string shown(const AllowedGlobal& global);

}  // namespace polyphony::torch_file
