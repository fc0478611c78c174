// SPDX-License-Identifier: Apache-2.0
// Recipes: TOML (or JSON of the same shape) read into typed, range-checked values; unknown keys are errors.
//
//   Config config = Config::from_file("recipe.toml");
//   config.set("train.lr", "1e-3", "--set");
//   Section train = config.section("train");
//   const double lr = train.number("learning_rate", 3e-4, {.above = 0});
//   const std::string schedule = train.text("lr_scheduler_type", "cosine", {"constant", "linear", "cosine"});
//   config.check_all_used();                 // after every section was read
//   write(run_folder / "config.toml", config.to_toml());
//
// Every error is a ConfigError that names file and line, key, what was expected and what was found.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony {

namespace config_detail {
struct Node;
struct State;
}  // namespace config_detail

// Allowed values of an integer, ends included.
struct IntegerRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

// Allowed values of a number: min and max are allowed, above and below are not. NaN and infinity never are.
struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();
  double below = std::numeric_limits<double>::infinity();
};

// One table of a config. Reading a key marks it as known and records its resolved value. Cheap to copy.
class Section {
 public:
  // With a default: the value if the key was given, else the default.
  int64_t integer(std::string_view key, int64_t default_value, IntegerRange range = {}) const;
  double number(std::string_view key, double default_value, NumberRange range = {}) const;
  bool flag(std::string_view key, bool default_value) const;
  std::string text(std::string_view key, std::string_view default_value,
                   const std::vector<std::string>& choices = {}) const;
  std::vector<int64_t> integers(std::string_view key, const std::vector<int64_t>& default_value,
                                IntegerRange range = {}) const;
  std::vector<double> numbers(std::string_view key, const std::vector<double>& default_value,
                              NumberRange range = {}) const;
  std::vector<std::string> texts(std::string_view key, const std::vector<std::string>& default_value,
                                 const std::vector<std::string>& choices = {}) const;

  // Required: an absent key is an error.
  int64_t required_integer(std::string_view key, IntegerRange range = {}) const;
  double required_number(std::string_view key, NumberRange range = {}) const;
  bool required_flag(std::string_view key) const;
  std::string required_text(std::string_view key, const std::vector<std::string>& choices = {}) const;
  std::vector<int64_t> required_integers(std::string_view key, IntegerRange range = {}) const;
  std::vector<double> required_numbers(std::string_view key, NumberRange range = {}) const;
  std::vector<std::string> required_texts(std::string_view key, const std::vector<std::string>& choices = {}) const;

  // Nested tables; an absent one reads as empty.
  Section section(std::string_view name) const;
  // An array of tables [[name]]; absent reads as none.
  std::vector<Section> sections(std::string_view name) const;

  bool has(std::string_view key) const;
  // False for a table that the file does not hold.
  bool given() const;
  // The keys that were given, in the order of the file: for tables whose keys are free (data set names).
  std::vector<std::string> keys() const;
  // Marks a key, with all below it, as known without reading it.
  void ignore(std::string_view key) const;
  // "model.router"; empty for the root.
  const std::string& path() const { return path_; }
  // "recipe.toml:12: model.num_heads = 7", for errors about a key that are found elsewhere.
  std::string where(std::string_view key) const;
  // For rules between keys: throws ConfigError "<where>: <rule>" unless `holds`.
  void require(bool holds, std::string_view key, std::string_view rule) const;

 private:
  friend class Config;
  Section(std::shared_ptr<config_detail::State> state, config_detail::Node* given, config_detail::Node* resolved,
          std::string path);

  template <class Kind>
  typename Kind::Value read(std::string_view key, const typename Kind::Value* default_value, const Kind& kind) const;
  config_detail::Node* child(std::string_view key) const;
  std::string full_name(std::string_view key) const;

  std::shared_ptr<config_detail::State> state_;
  config_detail::Node* given_;     // null where the file has no such table
  config_detail::Node* resolved_;  // what was read so far, defaults included
  std::string path_;
};

// One config: files, then environment, then flags, each over the one before. Copies share their contents.
class Config {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 20;

  // An empty config: everything reads as its default.
  Config();
  // TOML, or JSON when the name ends in ".json". Refuses what is not a regular file, over 1 MiB, or deeper than 64.
  static Config from_file(const std::filesystem::path& path);
  static Config from_string(std::string_view toml, const std::string& name);
  static Config from_json_string(std::string_view json, const std::string& name);

  // Takes over every value of `over`, table by table; lists and arrays of tables are replaced as a whole.
  void merge(const Config& over);
  // Overrides one value before it is read. `path` is "a.b.c" (a number counts into an array of tables); the value's
  // text takes the type that its reader asks for: 1e-3, true, topk, or 1,2,3 for a list. `source` is what an error
  // names: "--set train.lr".
  void set(std::string_view path, std::string_view value, std::string_view source);
  // set() for each environment variable POLYPHONY_A__B=value (two underscores part the names, letter case is dropped).
  // Variables without "__" are left alone. `environment` is as environ(7), null for the process's own.
  void set_from_environment(const char* const* environment = nullptr);

  Section root() const;
  Section section(std::string_view name) const { return root().section(name); }
  std::vector<Section> sections(std::string_view name) const { return root().sections(name); }

  // Reads `config_version` (default: current); newer than `current` is an error that says so.
  int64_t check_version(int64_t current) const;
  // Throws ConfigError listing each key that was given and never read, with its line and the nearest known key.
  void check_all_used() const;
  // TOML of everything that was read, defaults included; reads back to the same values.
  std::string to_toml() const;
  // The file's name as errors show it.
  const std::string& name() const;

 private:
  explicit Config(std::shared_ptr<config_detail::State> state) : state_(std::move(state)) {}
  std::shared_ptr<config_detail::State> state_;
};

}  // namespace polyphony
