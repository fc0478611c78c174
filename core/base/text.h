// SPDX-License-Identifier: Apache-2.0
// Small text tools: nearest names, UTF-8, printable forms, numbers, sizes and durations. All independent of the locale.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony {

// Edits (insert, delete, replace, swap of neighbours) that turn a into b. Source: optimal string alignment distance.
int64_t edit_distance(std::string_view a, std::string_view b);

// The candidate nearest to `name`, if it is near enough to be a slip of the fingers (a third of the letters, at least
// 2).
std::optional<std::string> nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" or nothing: the tail of an error about an unknown name.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

// True when the bytes are UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

// The bytes with every ill-formed part replaced by U+FFFD (one for each maximal subpart, Unicode 15 section 3.9).
std::string to_utf8(std::string_view bytes);

// Fit for a terminal or a log line: control characters and ill-formed bytes as \n, \t, \xNN; cut after max_bytes with
// "...".
std::string printable(std::string_view bytes, size_t max_bytes = 200);

// Without blanks, tabs and line ends at both ends.
std::string_view trim(std::string_view text);

// The parts between separators; always at least one.
std::vector<std::string> split(std::string_view text, char separator);

// `names` joined as "a, b, c".
std::string join_names(const std::vector<std::string>& names);

// The whole text as a decimal integer or a number with a decimal point; nothing if anything is left over.
std::optional<int64_t> parse_integer(std::string_view text);
std::optional<double> parse_number(std::string_view text);

// Shortest decimal that reads back as the same double, always with '.', 'e', "inf" or "nan" in it.
std::string format_number(double value);

// "532 B", "1.5 KiB", "7.2 GiB".
std::string human_bytes(uint64_t bytes);

// "532", "1.5k", "7.2M", "1.3G": decimal steps, for counts of parameters and tokens.
std::string human_count(double count);

// "0.8 s", "42 s", "3 min 5 s", "2 h 10 min", "3 d 4 h".
std::string human_duration(double seconds);

}  // namespace polyphony
