// SPDX-License-Identifier: Apache-2.0
// What a Config and its Sections share. Internal to core/base/config*.cpp.
#pragma once
#include "core/base/config_node.h"

namespace polyphony::config_detail {

struct State {
  std::string name;
  Node given;     // as files, environment and flags have it
  Node resolved;  // what was read, defaults included; also the list of known keys
};

}  // namespace polyphony::config_detail
