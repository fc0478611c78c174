// SPDX-License-Identifier: Apache-2.0
// Words -> scene: one pass over the words, one object a clause.
#include <cctype>
#include <string>
#include <utility>

#include "core/check.h"
#include "pipelines/data/scenes/grammar.h"
#include "pipelines/data/scenes/lexicon.h"

namespace polyphony::scenes {
namespace {

// Lower-case words; each comma (or other sentence mark) is a token of its own.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish_word = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isspace(byte)) {
      finish_word();
    } else if (std::string_view(",.;:!?").find(letter) != std::string_view::npos) {
      finish_word();
      words.emplace_back(",");
    } else {
      word += static_cast<char>(std::tolower(byte));
    }
  }
  finish_word();
  return words;
}

class Parser {
 public:
  void read(const std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] == ",") {
        end_clause();
        continue;
      }
      const auto word = find_word(tokens[i]);
      if (!word) {
        result_.unknown_words.push_back(tokens[i]);
        continue;
      }
      const auto next = i + 1 < tokens.size() ? find_word(tokens[i + 1]) : std::nullopt;
      take(*word, next && next->kind == WordKind::ground);
    }
    end_clause();
  }

  ParseResult finish() {
    if (!result_.background) problem("the background is not said");
    check_objects();
    if (result_.problems.empty()) result_.scene = complete_scene();
    return std::move(result_);
  }

 private:
  void take(const Word& word, bool before_ground) {
    switch (word.kind) {
      case WordKind::size:
        return set(clause_.size, word);
      case WordKind::colour:
        return set(clause_.colour, word);
      case WordKind::shape:
        return set(clause_.shape, word);
      case WordKind::background:
        return before_ground ? set_background(word) : stray_background(word);
      case WordKind::row:
        return set(row_, word);
      case WordKind::column:
        return set(column_, word);
      case WordKind::middle:
        middle_ = true;
        return;
      case WordKind::ground:
      case WordKind::separator:
        return end_clause();
      case WordKind::filler:
        return;
    }
  }

  void set(std::optional<uint8_t>& field, const Word& word) {
    if (field && *field != word.value)
      problem("one object has two meanings of the same kind, the second is '", word.text, "'");
    field = word.value;
  }

  void set_background(const Word& word) {
    end_clause();
    if (result_.background && *result_.background != word.value) problem("the background is said twice");
    result_.background = word.value;
  }

  void stray_background(const Word& word) {
    problem("'", word.text, "' is a colour of backgrounds: say '", word.text, " background'");
  }

  void end_clause() {
    if (row_ || column_ || middle_) {
      clause_.place = static_cast<uint8_t>(row_.value_or(1) * kGridSize + column_.value_or(1));
    }
    if (clause_.size || clause_.colour || clause_.shape || clause_.place) result_.objects.push_back(clause_);
    clause_ = {};
    row_ = column_ = std::nullopt;
    middle_ = false;
  }

  void check_objects() {
    const auto& objects = result_.objects;
    if (objects.empty()) problem("no object is said");
    if (objects.size() > kMaxObjects) problem("at most ", kMaxObjects, " objects are possible, got ", objects.size());
    for (size_t i = 0; i < objects.size(); ++i) {
      require(objects[i].size, "size", i);
      require(objects[i].colour, "colour", i);
      require(objects[i].shape, "shape", i);
      require(objects[i].place, "place", i);
      for (size_t earlier = 0; earlier < i && objects[i].place; ++earlier) {
        if (objects[earlier].place == objects[i].place) problem("two objects are at the ", kPlaces[*objects[i].place]);
      }
    }
  }

  void require(const std::optional<uint8_t>& field, const char* name, size_t index) {
    if (!field) problem("the ", name, " of object ", index + 1, " is not said");
  }

  Scene complete_scene() const {
    Scene scene{.background = *result_.background, .objects = {}};
    for (const auto& object : result_.objects) {
      scene.objects.push_back(
          {.size = *object.size, .colour = *object.colour, .shape = *object.shape, .place = *object.place});
    }
    return in_place_order(std::move(scene));
  }

  template <class... Parts>
  void problem(const Parts&... parts) {
    result_.problems.push_back(join(parts...));
  }

  ParseResult result_;
  PartialObject clause_;
  std::optional<uint8_t> row_, column_;
  bool middle_ = false;
};

}  // namespace

ParseResult parse_caption(std::string_view text) {
  Parser parser;
  parser.read(split_words(text));
  return parser.finish();
}

}  // namespace polyphony::scenes
