// SPDX-License-Identifier: Apache-2.0
#include "modalities/text/byte_bpe.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "core/base/files.h"
#include "core/base/unicode.h"
#include "core/check.h"
#include "core/formats/tokenizer_json.h"
#include "modalities/text/word_split.h"

namespace polyphony::text {
namespace {

constexpr size_t kMaxTextBytes = size_t{64} << 20;

// Finds the longest of its texts that a text begins with.
class Matcher {
 public:
  void add(const formats::AddedToken& token) {
    auto& bucket = by_first_[static_cast<uint8_t>(token.text.front())];
    bucket.push_back(&token);
    std::stable_sort(bucket.begin(), bucket.end(),
                     [](const auto* a, const auto* b) { return a->text.size() > b->text.size(); });
  }
  const formats::AddedToken* match(std::string_view text) const {
    for (const auto* token : by_first_[static_cast<uint8_t>(text.front())])
      if (text.starts_with(token->text)) return token;
    return nullptr;
  }

 private:
  std::array<std::vector<const formats::AddedToken*>, 256> by_first_;
};

// Appends the ids of `text`: of tokens that are found where they stand, and of `rest` for what lies between.
void split_at(const Matcher& matcher, std::string_view text, std::vector<int64_t>& ids,
              const std::function<void(std::string_view)>& rest) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto* token = matcher.match(text.substr(at));
    if (!token) {
      ++at;
      continue;
    }
    if (at > begin) rest(text.substr(begin, at - begin));
    ids.push_back(token->id);
    begin = at += token->text.size();
  }
  if (begin < text.size()) rest(text.substr(begin));
}

struct Merge {
  int64_t rank = 0, merged = 0;
};
uint64_t pair_key(int64_t left, int64_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
}
using Merges = std::unordered_map<uint64_t, Merge>;

// Joins the pair of the lowest rank, the first of equals, until none is left. The heap keeps long words from costing
// their length squared.
void merge_word(std::vector<int64_t>& ids, const Merges& merges) {
  using Candidate = std::tuple<int64_t, size_t, int64_t, int64_t, int64_t>;  // rank, place, left, right, merged
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  constexpr size_t kNone = SIZE_MAX;
  const size_t n = ids.size();
  std::vector<size_t> before(n), after(n);
  for (size_t i = 0; i < n; ++i) {
    before[i] = i == 0 ? kNone : i - 1;
    after[i] = i + 1 == n ? kNone : i + 1;
  }
  const auto offer = [&](size_t left) {
    if (left == kNone || after[left] == kNone) return;
    const auto right = ids[after[left]];
    if (const auto it = merges.find(pair_key(ids[left], right)); it != merges.end())
      queue.emplace(it->second.rank, left, ids[left], right, it->second.merged);
  };
  for (size_t i = 0; i < n; ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, left, left_id, right_id, merged] = queue.top();
    queue.pop();
    const size_t right = after[left];
    if (ids[left] != left_id || right == kNone || ids[right] != right_id) continue;  // one of them was joined meanwhile
    ids[left] = merged;
    ids[right] = -1;
    after[left] = after[right];
    if (after[left] != kNone) before[after[left]] = left;
    offer(before[left]);
    offer(left);
  }
  std::erase(ids, -1);
}

}  // namespace

struct ByteBpe::Impl {
  explicit Impl(formats::TokenizerJson json) : file(std::move(json)) {
    for (const auto& merge : file.merges)
      merges.try_emplace(pair_key(merge.left, merge.right), Merge{static_cast<int64_t>(merges.size()), merge.merged});
    for (const auto& token : file.added) {
      auto& of_kind = token.normalized ? behind : in_front;
      of_kind[1].add(token);
      if (!token.special) of_kind[0].add(token);
      if (token.special) special.insert(token.id);
    }
  }

  void encode_plain(std::string_view text, std::vector<int64_t>& ids) const {
    const std::string with_space = file.add_prefix_space && text.front() != ' ' ? " " + std::string(text) : "";
    if (!with_space.empty()) text = with_space;
    while (!text.empty()) {
      const size_t bytes = file.split_words ? first_word(text) : text.size();
      std::vector<int64_t> word;
      for (const char c : text.substr(0, bytes)) word.push_back(file.id_of_byte[static_cast<uint8_t>(c)]);
      merge_word(word, merges);
      ids.insert(ids.end(), word.begin(), word.end());
      text.remove_prefix(bytes);
    }
  }

  formats::TokenizerJson file;
  Merges merges;
  std::array<Matcher, 2> in_front, behind;  // of the normaliser; without and with the special tokens
  std::unordered_set<int64_t> special;
};

ByteBpe ByteBpe::from_json(std::string_view json, const std::string& source) {
  return ByteBpe(std::make_shared<const Impl>(formats::parse_tokenizer_json(json, source)));
}

ByteBpe ByteBpe::from_file(const std::filesystem::path& path) {
  return from_json(read_file(path, formats::kMaxTokenizerJsonBytes), path.string());
}

std::vector<int64_t> ByteBpe::encode(std::string_view text, const ByteBpeOptions& options) const {
  check<DataError>(text.size() <= kMaxTextBytes, "[tokenizer] expected a text of at most ", kMaxTextBytes,
                   " bytes, got ", text.size());
  const auto& file = impl_->file;
  std::vector<int64_t> ids;
  if (options.template_ids) ids = file.before;
  split_at(impl_->in_front[options.special], text, ids, [&](std::string_view piece) {
    const auto normal = file.nfc ? normalise_nfc(piece) : std::string(piece);
    split_at(impl_->behind[options.special], normal, ids,
             [&](std::string_view plain) { impl_->encode_plain(plain, ids); });
  });
  if (options.template_ids) ids.insert(ids.end(), file.after.begin(), file.after.end());
  return ids;
}

std::string ByteBpe::decode(std::span<const int64_t> ids) const {
  std::string out;
  for (const int64_t id : ids)
    if (id >= 0 && id < vocab_size()) out += impl_->file.bytes_of_id[static_cast<size_t>(id)];
  return out;
}

int64_t ByteBpe::vocab_size() const { return std::ssize(impl_->file.bytes_of_id); }

std::optional<int64_t> ByteBpe::find_added(std::string_view text) const {
  for (const auto& token : impl_->file.added)
    if (token.text == text) return token.id;
  return std::nullopt;
}

bool ByteBpe::is_special(int64_t id) const { return impl_->special.contains(id); }

}  // namespace polyphony::text
