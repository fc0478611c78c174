// SPDX-License-Identifier: Apache-2.0
// Typed access to a JSON object from outside, which names the key that is wrong.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::pipelines {

// Untrusted JSON of at most 16 MiB and 32 levels without a repeated key. `where` opens the messages. Throws DataError.
nlohmann::json parse_json(std::string_view text, const std::string& where);

// Text for a file or a stream; ill-formed UTF-8 inside strings is replaced instead of throwing.
std::string dump_json(const nlohmann::json& value, int indent = -1);

// Reads the members of one object; finish() refuses what nobody asked for. All methods throw DataError.
class ObjectReader {
 public:
  ObjectReader(const nlohmann::json& object, std::string where);
  bool has(const std::string& key) const { return object_.contains(key); }
  std::optional<std::string> text(const std::string& key);
  std::optional<std::string> text_or_integer(const std::string& key);  // an integer as its digits
  std::optional<int64_t> integer(const std::string& key);
  std::optional<uint64_t> natural(const std::string& key);
  std::optional<double> number(const std::string& key);
  std::optional<bool> flag(const std::string& key);
  void ignore(const std::string& key) { known_.push_back(key); }
  std::vector<std::string> unknown_keys() const;  // that nobody asked for
  void finish() const;

 private:
  const nlohmann::json* find(const std::string& key);
  const nlohmann::json& object_;
  std::string where_;
  std::vector<std::string> known_;
};

}  // namespace polyphony::pipelines
