// SPDX-License-Identifier: Apache-2.0
// 5,000 damaged files: our verdict is the reference implementation's, but for our stricter rules.
#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>

#include "core/base/sha256.h"
#include "core/error.h"
#include "core/formats/safetensors.h"
#include "tests/support/safetensors_builder.h"

namespace polyphony::formats {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kTokens = {"["sv,
                                "]"sv,
                                "{"sv,
                                "}"sv,
                                "\""sv,
                                ","sv,
                                ":"sv,
                                "0"sv,
                                "1"sv,
                                "9"sv,
                                "-"sv,
                                "-0"sv,
                                "1.0"sv,
                                "1e3"sv,
                                "null"sv,
                                "true"sv,
                                "[]"sv,
                                "{}"sv,
                                " "sv,
                                "\n"sv,
                                "\0"sv,
                                "\\u0000"sv,
                                "\\ud800"sv,
                                "\xc3"sv,
                                "18446744073709551615"sv,
                                "9223372036854775808"sv,
                                "4294967296"sv,
                                "\"dtype\""sv,
                                "\"shape\""sv,
                                "\"data_offsets\""sv,
                                "\"__metadata__\""sv,
                                "\"a\""sv,
                                "\"F32\""sv,
                                "\"F16\""sv,
                                "\"F4\""sv,
                                "\"C64\""sv,
                                "\"x\":1,"sv,
                                "\"x\":[[{}]],"sv};

// Words of the refusals that the reference does not share (core/formats/safetensors.h, first lines).
constexpr std::array kStricter = {
    "' twice"sv, "without NUL"sv, "cannot load"sv, "below 2^63"sv, "expected an object for"sv, "a string as dtype"sv};

// Holds one name twice, the first time ill-formed: we refuse the first, the reference reads only the last.
constexpr size_t kIllFormedTwin = 4416;

class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  size_t below(size_t n) {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<size_t>((z ^ (z >> 31)) % n);
  }

 private:
  uint64_t state_;
};

struct Parts {
  std::string json;
  std::string data;
};

std::string golden(std::string_view name) {
  return read_file(std::string(POLYPHONY_SOURCE_DIR) + "/tests/golden/" + std::string(name), 1 << 20);
}

std::vector<Parts> bases() {
  const std::string reference = golden("safetensors_files/reference.safetensors");
  const auto data_begin = static_cast<size_t>(parse_safetensors_header(as_byte_span(reference)).data_begin);
  return {{reference.substr(8, data_begin - 8), reference.substr(data_begin)},
          {R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
           R"("b":{"dtype":"U8","shape":[2,2],"data_offsets":[8,12]}})",
           std::string(12, '\0')},
          {R"({"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}})", std::string(4, '\0')},
          {R"({"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
           R"("z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
           std::string(8, '\0')}};
}

std::vector<size_t> places_of(std::string_view text, std::string_view wanted) {
  std::vector<size_t> places;
  for (size_t i = text.find_first_of(wanted); i != text.npos; i = text.find_first_of(wanted, i + 1))
    places.push_back(i);
  return places;
}

// The same edits with the same random numbers as scripts/golden/safetensors_mutations.py.
void edit(Parts& file, SplitMix64& rng) {
  std::string& json = file.json;
  const size_t kind = rng.below(14);
  const size_t at = rng.below(json.size() + 1);
  if (kind == 0 && at < json.size()) {
    json[at] = static_cast<char>(json[at] ^ (1 << rng.below(8)));
  } else if (kind == 1 && at < json.size()) {
    json[at] = static_cast<char>(rng.below(256));
  } else if (kind == 2) {
    json.insert(at, kTokens[rng.below(kTokens.size())]);
  } else if (kind == 3) {
    const std::string_view token = kTokens[rng.below(kTokens.size())];
    json.replace(at, token.size(), token);
  } else if (kind == 4) {
    json.erase(at, 1 + rng.below(8));
  } else if (kind == 5) {
    const std::string piece = json.substr(at, 1 + rng.below(64));
    json.insert(rng.below(json.size() + 1), piece);
  } else if (kind == 6) {
    file.data.resize(rng.below(file.data.size() + 1));
  } else if (kind == 7) {
    file.data.append(1 + rng.below(8), '\0');
  } else if (kind == 8) {
    const std::vector<size_t> digits = places_of(json, "0123456789");
    if (digits.empty()) return;
    const size_t which = digits[rng.below(digits.size())];
    json[which] = static_cast<char>('0' + rng.below(10));
  } else if (kind == 9 || kind == 10) {
    const std::vector<size_t> signs = places_of(json, "{,:[");
    if (signs.empty()) return;
    const size_t to = signs[rng.below(signs.size())] + 1;
    json.insert(to, 1 + rng.below(3), ' ');
  } else if (kind == 11 || kind == 12) {
    json.append(1 + rng.below(9), ' ');
  } else if (kind == 13) {
    const std::vector<size_t> letters = places_of(json, "abcdefghijklmnopqrstuvwxyz");
    if (letters.empty()) return;
    const size_t which = letters[rng.below(letters.size())];
    json[which] = static_cast<char>('a' + rng.below(26));
  }
}

std::string mutation(uint64_t index, const std::vector<Parts>& files) {
  SplitMix64 rng(index);
  Parts file = files[rng.below(files.size())];
  const size_t num_edits = 1 + rng.below(2);
  for (size_t i = 0; i < num_edits; ++i) edit(file, rng);
  uint64_t length = file.json.size();
  if (rng.below(16) == 0) length ^= uint64_t{1} << rng.below(64);
  return testing::little_endian(length) + file.json + file.data;
}

// Empty when the file is accepted.
std::string refusal(const std::string& bytes) {
  try {
    parse_safetensors_header(as_byte_span(bytes));
    return {};
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(SafetensorsMutations, OnlyOurStricterRulesDifferFromTheReference) {
  const auto verdicts = nlohmann::json::parse(golden("safetensors_mutations/verdicts.json"));
  const std::string bits = verdicts["accepted_bits_little_endian_hex"];
  const auto is_accepted = [&](size_t i) {
    return (std::stoi(bits.substr(i / 8 * 2, 2), nullptr, 16) >> (i % 8) & 1) != 0;
  };
  const std::vector<Parts> files = bases();
  Sha256 hash;
  size_t num_accepted = 0;
  size_t num_stricter = 0;
  for (size_t i = 0; i < verdicts["num_mutations"].get<size_t>(); ++i) {
    const std::string bytes = mutation(i, files);
    hash.update(as_byte_span(bytes));
    const std::string reason = refusal(bytes);
    num_accepted += reason.empty();
    if (reason.empty() == is_accepted(i)) continue;
    ++num_stricter;
    const bool is_documented = i == kIllFormedTwin || std::ranges::any_of(kStricter, [&](std::string_view word) {
                                 return reason.find(word) != std::string::npos;
                               });
    EXPECT_TRUE(is_documented) << "mutation " << i << ": the reference " << (is_accepted(i) ? "accepts" : "refuses")
                               << " it, we say: " << (reason.empty() ? "good" : reason) << "\n"
                               << printable(bytes, 400);
  }
  EXPECT_EQ(hash.hex_digest(), verdicts["sha256"].get<std::string>()) << "the mutations are not the reference's";
  EXPECT_GT(num_accepted, 500u);
  EXPECT_GT(num_stricter, 0u);
  EXPECT_LT(num_stricter, 100u);
}

}  // namespace
}  // namespace polyphony::formats
