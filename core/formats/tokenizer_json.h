// SPDX-License-Identifier: Apache-2.0
// Reads and checks tokenizer.json of Hugging Face's tokenizers: byte-level BPE as GPT-2, GPT-NeoX and OLMoE have it.
// Source: github.com/huggingface/tokenizers, serialisation of its components; GPT-2's alphabet of bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::formats {

// A text that becomes one id before the rest is split.
struct AddedToken {
  int64_t id = 0;
  std::string text;
  bool special = false;     // control: user text does not mean it
  bool normalized = false;  // looked for behind the normaliser, not before
};

struct BpeMerge {
  int64_t left = 0, right = 0, merged = 0;  // ids
};

struct TokenizerJson {
  std::vector<std::string> bytes_of_id;  // what each id stands for; empty where the file has no such id
  std::vector<int64_t> id_of_byte;       // 256
  std::vector<BpeMerge> merges;          // the first one is tried first
  std::vector<AddedToken> added;
  std::vector<int64_t> before, after;  // ids that the template puts around a text
  bool nfc = false;                    // canonical composition comes first
  bool add_prefix_space = false;       // a text that does not begin with a space gets one
  bool split_words = true;             // by GPT-2's pattern; otherwise merges may cross words
};

inline constexpr size_t kMaxTokenizerJsonBytes = size_t{64} << 20;
inline constexpr int64_t kMaxTokens = 1 << 22;
inline constexpr size_t kMaxTokenBytes = 4096;
inline constexpr size_t kMaxAddedTokens = 1 << 14;

// Refuses what it cannot follow to the letter (other models, normalisers, pre-tokenizers, added tokens that strip or
// need word ends), ids twice or out of range, merges of unknown tokens, and a vocabulary without all 256 bytes.
// `source` names the file in messages. Throws DataError.
TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& source);

}  // namespace polyphony::formats
