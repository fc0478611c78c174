// SPDX-License-Identifier: Apache-2.0
// JSON events into tensor descriptions.
#include "core/formats/safetensors_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/check.h"

namespace polyphony::formats {
namespace {

constexpr size_t kMaxSkippedDepth = 16;  // nesting of an unknown field's value
constexpr size_t kMaxWarnings = 20;
constexpr std::string_view kMetadataKey = "__metadata__";

// Receives JSON events; a state for each level of the header's fixed shape, so that depth is bounded by construction.
class HeaderEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderEvents(uint64_t text_begin, std::string_view where, const SafetensorsLimits& limits, SafetensorsHeader& header)
      : text_begin_(text_begin), where_(where), limits_(limits), header_(header) {}

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("true or false"); }
  bool number_integer(number_integer_t) override { return scalar("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return scalar("a number that is no unsigned 64-bit integer");
  }
  bool binary(binary_t&) override { return scalar("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::shape) {
      refuse_unless(value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
                    "expected sizes below 2^63 in its shape, got ", value);
      refuse_unless(shape_.size() < limits_.max_rank, "expected at most ", limits_.max_rank, " dimensions");
      shape_.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::offsets) {
      refuse_unless(num_offsets_ < 2, "expected data_offsets of two numbers, got more");
      offsets_[num_offsets_++] = value;
      return true;
    }
    return scalar("a number");
  }

  bool string(string_t& value) override {
    if (state_ == State::metadata) {
      const bool is_new = header_.metadata.emplace(key_, value).second;
      check<DataError>(is_new, "[", where_, "] expected each key of __metadata__ once, got '", printable(key_),
                       "' twice");
      return true;
    }
    if (state_ == State::tensor && field_ == Field::dtype) {
      dtype_ = dtype_from_name(value);
      refuse_unless(dtype_ || !is_known_unsupported_dtype(value), "expected a supported dtype, got ", value,
                    ", which this program cannot load");
      refuse_unless(dtype_.has_value(), "expected a known dtype, got '", printable(value, 40), "'");
      return true;
    }
    return scalar("a string");
  }

  bool start_object(size_t) override {
    if (skipped_depth_ > 0 || in_unknown_field()) return skip_deeper();
    switch (state_) {
      case State::outside:
        state_ = State::top;
        return true;
      case State::top:
        if (key_ == kMetadataKey) {
          check<DataError>(!has_metadata_, "[", where_, "] expected __metadata__ once, got it twice");
          has_metadata_ = true;
          state_ = State::metadata;
          return true;
        }
        begin_tensor();
        return true;
      default:
        return scalar("an object");
    }
  }

  bool key(string_t& value) override {
    if (skipped_depth_ > 0) return true;
    if (state_ != State::tensor) {
      key_ = value;
      return true;
    }
    field_ = field_named(value);
    if (field_ == Field::unknown) {
      refuse_unless(std::ranges::find(unknown_fields_, value) == unknown_fields_.end(),
                    "expected each field once, got '", printable(value), "' twice");
      refuse_unless(unknown_fields_.size() < kMaxSkippedDepth, "expected dtype, shape and data_offsets, got more than ",
                    kMaxSkippedDepth, " further fields");
      unknown_fields_.push_back(value);
      if (header_.warnings.size() < kMaxWarnings) {
        header_.warnings.push_back(
            join("tensor '", printable(name_), "' has an unknown field '", printable(value), "'"));
      }
      return true;
    }
    bool& seen = seen_[static_cast<size_t>(field_)];
    refuse_unless(!seen, "expected each field once, got '", value, "' twice");
    seen = true;
    return true;
  }

  bool end_object() override {
    if (skipped_depth_ > 0) {
      --skipped_depth_;
      return true;
    }
    if (state_ == State::tensor) finish_tensor();
    state_ = state_ == State::top ? State::outside : State::top;
    return true;
  }

  bool start_array(size_t) override {
    if (skipped_depth_ > 0 || in_unknown_field()) return skip_deeper();
    if (state_ == State::tensor && field_ == Field::shape) {
      state_ = State::shape;
      return true;
    }
    if (state_ == State::tensor && field_ == Field::offsets) {
      state_ = State::offsets;
      return true;
    }
    return scalar("an array");
  }

  bool end_array() override {
    if (skipped_depth_ > 0) {
      --skipped_depth_;
      return true;
    }
    state_ = State::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // Positions count from 1 and from the first byte of the JSON text.
    fail<DataError>("[", where_, "] expected a JSON header, got an error at byte ", text_begin_ + position - 1, ": ",
                    printable(error.what(), 160));
  }

 private:
  enum class State { outside, top, metadata, tensor, shape, offsets };
  enum class Field { dtype, shape, offsets, unknown };

  static Field field_named(std::string_view name) {
    if (name == "dtype") return Field::dtype;
    if (name == "shape") return Field::shape;
    if (name == "data_offsets") return Field::offsets;
    return Field::unknown;
  }

  bool in_unknown_field() const { return state_ == State::tensor && field_ == Field::unknown; }

  template <class... Parts>
  void refuse_unless(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
      fail<DataError>("[", where_, "] tensor '", printable(name_), "': ", parts...);
  }

  bool skip_deeper() {
    refuse_unless(++skipped_depth_ <= kMaxSkippedDepth, "expected an unknown field nested at most ", kMaxSkippedDepth,
                  " deep");
    return true;
  }

  // A value of kind `got` where this state wants another kind; only unknown fields take anything.
  bool scalar(std::string_view got) {
    if (skipped_depth_ > 0 || in_unknown_field()) return true;
    switch (state_) {
      case State::outside:
        fail<DataError>("[", where_, "] expected a JSON object as header, got ", got);
      case State::top:
        fail<DataError>("[", where_, "] expected an object for '", printable(key_), "', got ", got);
      case State::metadata:
        fail<DataError>("[", where_, "] expected a string for __metadata__ key '", printable(key_), "', got ", got);
      case State::shape:
        refuse_unless(false, "expected unsigned integers in its shape, got ", got);
        break;
      case State::offsets:
        refuse_unless(false, "expected unsigned integers in data_offsets, got ", got);
        break;
      case State::tensor: {
        constexpr std::string_view kWanted[] = {"a string as dtype", "an array as shape", "an array as data_offsets"};
        refuse_unless(false, "expected ", kWanted[static_cast<size_t>(field_)], ", got ", got);
      }
    }
    return false;
  }

  void begin_tensor() {
    check<DataError>(header_.tensors.size() < limits_.max_tensors, "[", where_, "] expected at most ",
                     limits_.max_tensors, " tensors");
    name_ = key_;
    check<DataError>(name_.find('\0') == std::string::npos, "[", where_, "] expected tensor names without NUL, got '",
                     printable(name_), "'");
    std::ranges::fill(seen_, false);
    unknown_fields_.clear();
    shape_.clear();
    num_offsets_ = 0;
    state_ = State::tensor;
  }

  void finish_tensor() {
    constexpr std::string_view kNames[] = {"dtype", "shape", "data_offsets"};
    for (size_t i = 0; i < 3; ++i) refuse_unless(seen_[i], "expected a field '", kNames[i], "', got none");
    refuse_unless(num_offsets_ == 2, "expected data_offsets of two numbers, got ", num_offsets_);
    refuse_unless(offsets_[0] <= offsets_[1], "expected data_offsets that do not decrease, got [", offsets_[0], ", ",
                  offsets_[1], "]");
    uint64_t num_bytes = 1;
    bool overflow = false;
    for (const int64_t size : shape_) {
      overflow |= __builtin_mul_overflow(num_bytes, static_cast<uint64_t>(size), &num_bytes);
    }
    overflow |= __builtin_mul_overflow(num_bytes, dtype_bytes(*dtype_), &num_bytes);
    refuse_unless(!overflow, "its size overflows 64 bits: expected a shape that fits the file");
    refuse_unless(num_bytes == offsets_[1] - offsets_[0], "expected ", num_bytes, " bytes for its shape and ",
                  dtype_name(*dtype_), ", got data_offsets of ", offsets_[1] - offsets_[0]);
    header_.tensors.push_back({name_, *dtype_, shape_, offsets_[0], offsets_[1]});
  }

  uint64_t text_begin_;
  std::string_view where_;
  const SafetensorsLimits& limits_;
  SafetensorsHeader& header_;
  State state_ = State::outside;
  Field field_ = Field::unknown;
  size_t skipped_depth_ = 0;
  bool has_metadata_ = false;
  std::string key_;
  std::string name_;
  std::array<bool, 3> seen_{};
  std::vector<std::string> unknown_fields_;
  std::optional<DType> dtype_;
  std::vector<int64_t> shape_;
  std::array<uint64_t, 2> offsets_{};
  size_t num_offsets_ = 0;
};

}  // namespace

void read_safetensors_json(std::string_view text, uint64_t text_begin, std::string_view where,
                           const SafetensorsLimits& limits, SafetensorsHeader& header) {
  HeaderEvents events(text_begin, where, limits, header);
  nlohmann::json::sax_parse(text, &events);
}

}  // namespace polyphony::formats
