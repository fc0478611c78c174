// SPDX-License-Identifier: Apache-2.0
// A scene: coloured shapes on a 3 x 3 grid before a plain background; small enough that a judge can check every word.
#pragma once
#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace polyphony::scenes {

inline constexpr int kGridSize = 3;
inline constexpr int kCellSize = 32;                      // pixels
inline constexpr int kImageSize = kGridSize * kCellSize;  // pixels, both axes
inline constexpr int kImageBytes = kImageSize * kImageSize * 3;
inline constexpr int kMaxObjects = 3;

using Rgb = std::array<uint8_t, 3>;

struct NamedColour {
  std::string_view name;
  Rgb rgb;
};

// The values of every attribute. An attribute is stored as the index of its row here.
// No word means two things: background names are never object colours.
inline constexpr std::array<std::string_view, 2> kSizes{"small", "large"};
inline constexpr std::array<NamedColour, 8> kColours{{{"red", {222, 30, 38}},
                                                      {"orange", {255, 140, 0}},
                                                      {"yellow", {252, 222, 20}},
                                                      {"green", {30, 150, 50}},
                                                      {"blue", {40, 90, 235}},
                                                      {"purple", {140, 40, 170}},
                                                      {"pink", {255, 110, 185}},
                                                      {"brown", {125, 70, 30}}}};
inline constexpr std::array<std::string_view, 6> kShapes{"circle", "square", "triangle", "star", "cross", "diamond"};
inline constexpr std::array<std::string_view, 9> kPlaces{
    "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"};
inline constexpr std::array<NamedColour, 6> kBackgrounds{{{"white", {255, 255, 255}},
                                                          {"black", {0, 0, 0}},
                                                          {"gray", {150, 150, 150}},
                                                          {"beige", {235, 222, 190}},
                                                          {"navy", {15, 25, 75}},
                                                          {"mint", {170, 240, 205}}}};

struct Object {
  uint8_t size = 0;    // row of kSizes
  uint8_t colour = 0;  // row of kColours
  uint8_t shape = 0;   // row of kShapes
  uint8_t place = 0;   // row of kPlaces: grid row * 3 + grid column
  auto operator<=>(const Object&) const = default;
};

// An object of which only some attributes are known: read from words, or seen in a picture.
struct PartialObject {
  std::optional<uint8_t> size, colour, shape, place;
};

struct Scene {
  uint8_t background = 0;       // row of kBackgrounds
  std::vector<Object> objects;  // in no order; places are distinct in a valid scene
};

// Equal backgrounds and equal sets of objects, whatever their order.
bool operator==(const Scene& a, const Scene& b);

// Objects by ascending place (then by the other attributes).
Scene in_place_order(Scene scene);

// Throws DataError unless indices are in range, there are 1 to kMaxObjects objects, and their places are distinct.
void check_scene(const Scene& scene);

// {"background": "white", "objects": [{"size": "small", "colour": "red", "shape": "circle", "place": "top left"}]}
// Callers include nlohmann/json.hpp.
nlohmann::json to_json(const Scene& scene);

// The inverse. Throws DataError naming the field where the JSON is not a valid scene.
Scene scene_from_json(const nlohmann::json& json);

}  // namespace polyphony::scenes
