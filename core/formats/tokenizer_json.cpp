// SPDX-License-Identifier: Apache-2.0
#include "core/formats/tokenizer_json.h"

#include <array>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/base/text.h"
#include "core/base/unicode.h"
#include "core/check.h"
#include "core/formats/strict_json.h"

namespace polyphony::formats {
namespace {

using nlohmann::json;
using Ids = std::unordered_map<std::string, int64_t>;

// GPT-2's letter of each byte: printable ones stand for themselves, the others for those from U+0100 on.
char32_t letter_of_byte(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  if (printable(byte)) return static_cast<char32_t>(byte);
  char32_t rank = 0;
  for (int b = 0; b < byte; ++b) rank += !printable(b);
  return 0x100 + rank;
}

// Nothing where a character is none of these letters.
std::optional<std::string> bytes_of_letters(std::string_view letters) {
  static const auto byte_of = [] {
    std::unordered_map<char32_t, char> map;
    for (int byte = 0; byte < 256; ++byte) map[letter_of_byte(byte)] = static_cast<char>(byte);
    return map;
  }();
  std::string out;
  while (!letters.empty()) {
    const auto c = first_char(letters);
    const auto it = byte_of.find(c.value);
    if (it == byte_of.end()) return std::nullopt;
    out += it->second;
    letters.remove_prefix(c.bytes);
  }
  return out;
}

class Reader {
 public:
  Reader(const json& root, const std::string& source) : root_(root), source_(source) {
    require(root.is_object(), "expected a JSON object, got ", root.type_name());
  }

  TokenizerJson read() {
    read_model();
    read_added();
    check_bytes();
    for (const auto* part : parts("normalizer", "normalizers")) {
      require(type_of(*part) == "NFC", "the normalizer must be NFC, got '", type_of(*part), "'");
      out_.nfc = true;
    }
    read_pre_tokenizer();
    for (const auto* part : parts("decoder", "decoders"))
      require(type_of(*part) == "ByteLevel", "the decoder must be ByteLevel, got '", type_of(*part), "'");
    for (const auto* part : parts("post_processor", "processors"))
      if (type_of(*part) != "ByteLevel") read_template(*part);  // a ByteLevel one moves offsets only
    return std::move(out_);
  }

 private:
  template <class... Parts>
  void require(bool condition, const Parts&... what) const {
    check<DataError>(condition, "[", source_, "] ", what...);
  }

  const json& member(const json& object, const char* key) const {
    static const json null;
    const auto it = object.is_object() ? object.find(key) : object.end();
    return it == object.end() ? null : *it;
  }
  std::string type_of(const json& object) const {
    const auto& type = member(object, "type");
    return type.is_string() ? printable(type.get<std::string>(), 60) : "none";
  }
  bool flag(const json& object, const char* key, bool otherwise) const {
    const auto& value = member(object, key);
    require(value.is_null() || value.is_boolean(), "'", key, "' must be true or false");
    return value.is_null() ? otherwise : value.get<bool>();
  }
  std::string text(const json& value, const char* what) const {
    require(value.is_string(), what, " must be a string, got ", value.type_name());
    const auto& string = value.get_ref<const std::string&>();
    require(!string.empty() && string.size() <= kMaxTokenBytes, what, " must have 1 to ", kMaxTokenBytes,
            " bytes, got ", string.size());
    return string;
  }
  int64_t id(const json& value, const std::string& of) const {
    require(value.is_number_unsigned() && value.get<uint64_t>() < id_limit_, "the id of '", printable(of, 60),
            "' must be in [0, ", id_limit_, ")");
    return value.get<int64_t>();
  }

  // The members of a component that may be missing, or a Sequence of others.
  std::vector<const json*> parts(const char* key, const char* list_key) const {
    const auto& component = member(root_, key);
    if (component.is_null()) return {};
    if (type_of(component) != "Sequence") return {&component};
    const auto& list = member(component, list_key);
    require(list.is_array(), "the ", key, " Sequence must have a list '", list_key, "'");
    std::vector<const json*> out;
    for (const auto& part : list) out.push_back(&part);
    return out;
  }

  void put(int64_t id, std::string bytes, const std::string& token) {
    auto& all = out_.bytes_of_id;
    if (static_cast<size_t>(id) >= all.size()) all.resize(static_cast<size_t>(id) + 1);
    require(all[static_cast<size_t>(id)].empty(), "the id ", id, " is given twice, also to '", printable(token, 60),
            "'");
    all[static_cast<size_t>(id)] = std::move(bytes);
  }

  void read_model() {
    const auto& model = member(root_, "model");
    const auto type = type_of(model);
    require(type == "BPE" || (type == "none" && model.contains("merges")), "the model must be BPE, got '", type, "'");
    for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto& value = member(model, key);
      const bool empty = value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
      require(empty, "'", key, "' of the model must be null");
    }
    for (const char* key : {"byte_fallback", "ignore_merges"})
      require(!flag(model, key, false), "'", key, "' of the model must be false");
    const auto& vocab = member(model, "vocab");
    require(vocab.is_object() && !vocab.empty(), "the model must have a 'vocab'");
    require(vocab.size() <= static_cast<size_t>(kMaxTokens), "expected at most ", kMaxTokens, " tokens, got ",
            vocab.size());
    id_limit_ = 2 * (vocab.size() + member(root_, "added_tokens").size()) + 1024;
    for (const auto& [letters, value] : vocab.items()) {
      text(letters, "a token");
      const auto number = id(value, letters);
      ids_[letters] = number;
      const auto bytes = bytes_of_letters(letters);
      if (!bytes) foreign_.insert(letters);
      put(number, bytes.value_or(letters), letters);
    }
    read_merges(member(model, "merges"));
  }

  // "a b", or ["a", "b"] in newer files.
  void read_merges(const json& merges) {
    require(merges.is_array() && merges.size() <= static_cast<size_t>(kMaxTokens),
            "the model must have a list 'merges'");
    const auto id_of = [&](const std::string& token) {
      const auto it = ids_.find(token);
      require(it != ids_.end(), "a merge names '", printable(token, 60), "', which is no token");
      return it->second;
    };
    for (const auto& merge : merges) {
      std::string left, right;
      if (merge.is_array() && merge.size() == 2) {
        left = text(merge[0], "half of a merge");
        right = text(merge[1], "half of a merge");
      } else {
        const auto both = text(merge, "a merge");
        const auto blank = both.find(' ');
        require(blank != std::string::npos && blank > 0 && blank + 1 < both.size(), "a merge must be two tokens, got '",
                printable(both, 60), "'");
        left = both.substr(0, blank);
        right = both.substr(blank + 1);
      }
      out_.merges.push_back({id_of(left), id_of(right), id_of(left + right)});
    }
  }

  void read_added() {
    const auto& added = member(root_, "added_tokens");
    require(added.is_null() || added.is_array(), "'added_tokens' must be a list");
    require(added.size() <= kMaxAddedTokens, "expected at most ", kMaxAddedTokens, " added tokens, got ", added.size());
    for (const auto& token : added) {
      AddedToken out{.id = 0, .text = text(member(token, "content"), "the content of an added token")};
      out.id = id(member(token, "id"), out.text);
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        require(!flag(token, key, false), "'", key, "' of the added token '", printable(out.text, 60),
                "' must be false");
      out.special = flag(token, "special", false);
      out.normalized = flag(token, "normalized", !out.special);
      const auto known = ids_.find(out.text);
      require(known == ids_.end() || known->second == out.id, "the added token '", printable(out.text, 60),
              "' has another id in the vocabulary");
      if (known == ids_.end()) put(out.id, out.text, out.text);
      out_.bytes_of_id[static_cast<size_t>(out.id)] = out.text;
      ids_[out.text] = out.id;
      foreign_.erase(out.text);
      out_.added.push_back(std::move(out));
    }
  }

  void check_bytes() {
    require(foreign_.empty(), "the token '", printable(foreign_.empty() ? "" : *foreign_.begin(), 60),
            "' is not written in the letters of bytes");
    for (int byte = 0; byte < 256; ++byte) {
      std::string letter;
      append_utf8(letter, letter_of_byte(byte));
      const auto it = ids_.find(letter);
      require(it != ids_.end(), "the vocabulary must have all 256 bytes, '", letter, "' is missing");
      out_.id_of_byte.push_back(it->second);
    }
  }

  void read_pre_tokenizer() {
    const auto all = parts("pre_tokenizer", "pretokenizers");
    require(all.size() == 1 && type_of(*all.front()) == "ByteLevel", "the pre_tokenizer must be one ByteLevel, got '",
            all.empty() ? "none" : type_of(*all.front()), "'", all.size() > 1 ? " and others" : "");
    out_.add_prefix_space = flag(*all.front(), "add_prefix_space", true);
    out_.split_words = flag(*all.front(), "use_regex", true);
  }

  void read_template(const json& processor) {
    require(type_of(processor) == "TemplateProcessing",
            "the post_processor must be ByteLevel or TemplateProcessing, got '", type_of(processor), "'");
    const auto& single = member(processor, "single");
    require(single.is_array() && single.size() <= 64, "the template must have a list 'single'");
    bool behind = false;
    for (const auto& piece : single) {
      if (piece.is_object() && piece.contains("Sequence")) {
        require(!behind, "the template must have one Sequence");
        behind = true;
        continue;
      }
      const auto token = text(member(member(piece, "SpecialToken"), "id"), "a special token of the template");
      const auto it = ids_.find(token);
      require(it != ids_.end(), "the template names '", printable(token, 60), "', which is no token");
      (behind ? out_.after : out_.before).push_back(it->second);
    }
    require(behind, "the template must have a Sequence");
  }

  const json& root_;
  const std::string& source_;
  TokenizerJson out_;
  size_t id_limit_ = 0;  // there may be gaps, but a short file takes no large table
  Ids ids_;
  std::unordered_set<std::string> foreign_;  // tokens that are not written in the letters of bytes
};

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& source) {
  const auto root = parse_strict_json(text, source, {.max_bytes = kMaxTokenizerJsonBytes, .max_depth = 16});
  return Reader(root, source).read();
}

}  // namespace polyphony::formats
