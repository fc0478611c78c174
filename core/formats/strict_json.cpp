// SPDX-License-Identifier: Apache-2.0
// nlohmann::json with the checks that it leaves to its callers.
#include "core/formats/strict_json.h"

#include <set>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "core/check.h"

namespace polyphony::formats {

nlohmann::json parse_strict_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  using Event = nlohmann::json::parse_event_t;
  check<DataError>(text.size() <= limits.max_bytes, "[", where, "] expected at most ", limits.max_bytes,
                   " bytes of JSON, got ", text.size());
  // The library takes a NUL byte for the end and would not look at what follows.
  const size_t nul = text.find('\0');
  check<DataError>(nul == std::string_view::npos, "[", where, "] expected JSON, got a NUL byte at byte ", nul);

  std::vector<std::set<std::string>> keys_of_depth;
  const auto watch = [&](int depth, Event event, nlohmann::json& value) {
    const auto level = static_cast<size_t>(depth);
    check<DataError>(level < limits.max_depth, "[", where, "] expected JSON nested at most ", limits.max_depth,
                     " deep");
    if (event == Event::object_start) {
      if (keys_of_depth.size() < level + 2) keys_of_depth.resize(level + 2);
      keys_of_depth[level + 1].clear();
    }
    if (event == Event::key) {
      const auto& name = value.get_ref<const std::string&>();
      check<DataError>(keys_of_depth[level].insert(name).second, "[", where, "] expected each key once, got '",
                       printable(name), "' twice in one object");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("[", where, "] expected JSON: ", printable(error.what(), 200));
  }
}

}  // namespace polyphony::formats
