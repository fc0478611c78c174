// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back with byte-level BPE, as tokenizer.json of GPT-2's, GPT-NeoX's and OLMoE's kind has it.
// Sources: Neural Machine Translation of Rare Words with Subword Units (arXiv:1508.07909); bytes: GPT-2 (2019).
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::text {

struct ByteBpeOptions {
  bool special = false;      // control tokens in the text become their ids; off for text from users: then ordinary text
  bool template_ids = true;  // put around the text what the file's template says
};

// A value: copies share one immutable vocabulary, which any number of threads may use.
class ByteBpe {
 public:
  // `source` names the file in messages. Throws DataError.
  static ByteBpe from_json(std::string_view json, const std::string& source = "tokenizer.json");
  static ByteBpe from_file(const std::filesystem::path& path);

  // Any bytes: what is not UTF-8 is kept. Throws DataError above 64 MiB.
  std::vector<int64_t> encode(std::string_view text, const ByteBpeOptions& options = {}) const;
  // The bytes that the ids stand for, control tokens too; an id without a token stands for none. A token may end inside
  // a character.
  std::string decode(std::span<const int64_t> ids) const;

  int64_t vocab_size() const;  // the largest id and one
  std::optional<int64_t> find_added(std::string_view text) const;
  bool is_special(int64_t id) const;

 private:
  struct Impl;
  explicit ByteBpe(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace polyphony::text
