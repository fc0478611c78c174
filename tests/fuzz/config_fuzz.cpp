// SPDX-License-Identifier: Apache-2.0
// libFuzzer entry: any bytes as TOML and as JSON give a config or a ConfigError, and what is read reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/config.h"
#include "core/error.h"

namespace {

using polyphony::Config;
using polyphony::ConfigError;
using polyphony::Section;

// Reads every key of a table by the first getter that takes it; a key that none takes is skipped.
void read_all(const Section& section) {
  for (const auto& key : section.keys()) {
    const std::function<void()> getters[] = {[&] { section.integer(key, 0); },
                                             [&] { section.number(key, 0); },
                                             [&] { section.flag(key, false); },
                                             [&] { section.text(key, ""); },
                                             [&] { section.integers(key, {}); },
                                             [&] { section.numbers(key, {}); },
                                             [&] { section.texts(key, {}); },
                                             [&] { read_all(section.section(key)); },
                                             [&] {
                                               for (const auto& item : section.sections(key)) read_all(item);
                                             }};
    for (const auto& read : getters) {
      try {
        read();
        break;
      } catch (const ConfigError&) {
        continue;
      }
    }
  }
}

std::string resolved(const Config& config) {
  read_all(config.root());
  try {
    config.check_all_used();
  } catch (const ConfigError&) {
    return config.to_toml();
  }
  return config.to_toml();
}

void use(const std::function<Config()>& parse) {
  std::string once;
  try {
    once = resolved(parse());
  } catch (const ConfigError&) {
    return;
  }
  // Outside the try: what we print ourselves must always be readable.
  if (resolved(Config::from_string(once, "again")) != once) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  use([&] { return Config::from_string(bytes, "fuzz"); });
  use([&] { return Config::from_json_string(bytes, "fuzz"); });
  const size_t equals = bytes.find('=');
  if (equals == std::string_view::npos) return 0;
  use([&] {
    Config config;
    config.set(bytes.substr(0, equals), bytes.substr(equals + 1), "fuzz");
    return config;
  });
  return 0;
}
