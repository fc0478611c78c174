// SPDX-License-Identifier: Apache-2.0
// The grammar: what it says can be read back, whatever the wording.
#include "pipelines/data/scenes/grammar.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "pipelines/data/scenes/split.h"

namespace polyphony::scenes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kNumScenes = 5000;

// Calls visit(scene, rng) for many random scenes.
template <class Visit>
void for_random_scenes(Visit visit) {
  for (uint64_t index = 0; index < kNumScenes; ++index) {
    Rng rng(11, index);
    const auto scene = random_scene(rng, Split::any);
    visit(scene, rng);
  }
}

std::vector<std::string> words_of(const std::string& text) {
  std::string plain = text;
  std::erase(plain, ',');
  std::istringstream in(plain);
  return {std::istream_iterator<std::string>(in), {}};
}

TEST(Grammar, ReadsBackEveryCaptionItSays) {
  for_random_scenes([](const Scene& scene, Rng& rng) {
    const auto text = caption(scene, rng);
    const auto parsed = parse_caption(text);
    ASSERT_TRUE(parsed.scene) << text << ": " << parsed.problems.front();
    ASSERT_TRUE(*parsed.scene == scene) << text;
    ASSERT_THAT(parsed.unknown_words, IsEmpty()) << text;
  });
}

TEST(Grammar, ReadsBackTheCanonicalCaption) {
  for_random_scenes([](const Scene& scene, Rng&) {
    const auto parsed = parse_caption(canonical_caption(scene));
    ASSERT_TRUE(parsed.scene && *parsed.scene == scene) << canonical_caption(scene);
  });
}

TEST(Grammar, CanonicalCaptionDoesNotDependOnTheOrderOfObjects) {
  for_random_scenes([](const Scene& scene, Rng& rng) {
    auto shuffled = scene;
    rng.shuffle(shuffled.objects);
    ASSERT_EQ(canonical_caption(shuffled), canonical_caption(scene));
  });
}

TEST(Grammar, SaysOnlyLowerCaseWordsAndCommas) {
  for_random_scenes([](const Scene& scene, Rng& rng) {
    const auto text = caption(scene, rng);
    ASSERT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz, "), std::string::npos) << text;
    ASSERT_EQ(text.find("  "), std::string::npos) << text;
    ASSERT_LE(words_of(text).size(), 10u * scene.objects.size() + 7) << text;
  });
}

TEST(Grammar, VocabularyHoldsExactlyTheWordsThatAreSaid) {
  std::set<std::string> said;
  for_random_scenes([&](const Scene& scene, Rng& rng) {
    for (const auto& word : words_of(caption(scene, rng))) said.insert(word);
  });
  const auto words = vocabulary();
  EXPECT_EQ(std::set<std::string>(words.begin(), words.end()), said);
  EXPECT_TRUE(std::ranges::is_sorted(words));
}

TEST(Grammar, WordingVaries) {
  Rng rng(3);
  const Scene scene{.background = 0, .objects = {{1, 4, 3, 4}, {0, 0, 0, 0}}};
  std::set<std::string> texts;
  for (int i = 0; i < 100; ++i) texts.insert(caption(scene, rng));
  EXPECT_GT(texts.size(), 80u);
}

TEST(Grammar, SaysPlainWordsForAPlainScene) {
  const Scene scene{.background = 0, .objects = {{1, 4, 3, 4}, {0, 0, 0, 0}}};
  EXPECT_EQ(canonical_caption(scene),
            "a small red circle at the top left and a large blue star in the center on a white background");
}

TEST(ParseCaption, IgnoresCaseAndPunctuation) {
  const auto parsed = parse_caption("A Small RED circle, at the top left. On a white background!");
  EXPECT_THAT(parsed.problems, testing::Not(IsEmpty()));  // the comma parts the circle from its place
  EXPECT_TRUE(parse_caption("A Small RED circle at the top left. On a white background!").scene);
}

TEST(ParseCaption, NamesUnknownWordsAndReadsOn) {
  const auto parsed = parse_caption("a shiny small red circle at the top left on a white background with glitter");
  EXPECT_THAT(parsed.unknown_words, ElementsAre("shiny", "glitter"));
  ASSERT_TRUE(parsed.scene);
  EXPECT_EQ(canonical_caption(*parsed.scene), "a small red circle at the top left on a white background");
}

TEST(ParseCaption, SaysWhatIsMissing) {
  const auto parsed = parse_caption("a red circle at the top on a white background");
  EXPECT_FALSE(parsed.scene);
  EXPECT_THAT(parsed.problems, ElementsAre("the size of object 1 is not said"));
  ASSERT_EQ(parsed.objects.size(), 1u);
  EXPECT_EQ(parsed.objects[0].colour, 0);
  EXPECT_EQ(parsed.background, 0);
  EXPECT_THAT(parse_caption("").problems, ElementsAre("the background is not said", "no object is said"));
}

TEST(ParseCaption, RefusesTwoObjectsAtOnePlaceAndTooManyObjects) {
  const std::string ground = " on a white background";
  EXPECT_THAT(parse_caption("a big red star at the top and a tiny blue star at the top center" + ground).problems,
              ElementsAre("two objects are at the top"));
  EXPECT_THAT(parse_caption("a big red star at the top, a big red star on the left, a big red star on the right, a big "
                            "red star at the bottom" +
                            ground)
                  .problems,
              ElementsAre("at most 3 objects are possible, got 4"));
}

TEST(ParseCaption, RefusesContradictions) {
  EXPECT_THAT(parse_caption("a big red blue star at the top on a white background").problems,
              ElementsAre(HasSubstr("second is 'blue'")));
  EXPECT_THAT(parse_caption("a big red star at the top on a white background, black background").problems,
              ElementsAre("the background is said twice"));
}

TEST(ParseCaption, TellsThatABackgroundColourIsNoObjectColour) {
  EXPECT_THAT(parse_caption("a big white star at the top on a navy background").problems,
              ElementsAre(HasSubstr("'white' is a colour of backgrounds"), "the colour of object 1 is not said"));
}

}  // namespace
}  // namespace polyphony::scenes
