// SPDX-License-Identifier: Apache-2.0
// check<E>(condition, parts...): throw E with the parts joined as its message when the condition is false.
#pragma once
#include <sstream>
#include <string>

#include "core/error.h"

namespace polyphony {

// Joins streamable parts into one string.
template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class E, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(join(parts...));
}

// Parts are evaluated by the caller but joined only on failure: pass values, not built strings.
template <class E, class... Parts>
void check(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail<E>(parts...);
}

}  // namespace polyphony
