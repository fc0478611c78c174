// SPDX-License-Identifier: Apache-2.0
// What each router's file says of itself; registry.cpp lists them.
#pragma once
#include <string_view>

#include "moe/router.h"

namespace polyphony::moe {

struct RouterEntry {
  std::string summary;                                          // one line
  std::string source;                                           // paper, section
  std::vector<std::string_view> options = {};                   // keys of router_options() that it takes
  RouterConfig defaults = {};                                   // what the name stands for
  std::shared_ptr<Router> (*make)(const RouterConfig& config);  // throws ConfigError on settings that contradict
};

// make for a class whose constructor takes the config and checks it.
template <class R>
std::shared_ptr<Router> make_of(const RouterConfig& config) {
  return std::make_shared<R>(config);
}

}  // namespace polyphony::moe
