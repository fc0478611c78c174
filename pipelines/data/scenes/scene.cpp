// SPDX-License-Identifier: Apache-2.0
// Scene equality, validity and JSON form.
#include "pipelines/data/scenes/scene.h"

#include <algorithm>
#include <bitset>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace polyphony::scenes {
namespace {

std::string_view name_of(std::string_view row) { return row; }
std::string_view name_of(const NamedColour& row) { return row.name; }

template <class Table>
uint8_t row_named(const Table& table, const nlohmann::json& json, const char* field) {
  check<DataError>(json.is_object() && json.contains(field) && json[field].is_string(),
                   "[scene_from_json] expected a string in field '", field, "', got ", json.dump().substr(0, 200));
  const auto& name = json[field].get_ref<const std::string&>();
  const auto row = std::ranges::find_if(table, [&](const auto& entry) { return name_of(entry) == name; });
  check<DataError>(row != table.end(), "[scene_from_json] field '", field, "' has no value '", name, "'");
  return static_cast<uint8_t>(row - table.begin());
}

}  // namespace

bool operator==(const Scene& a, const Scene& b) {
  return a.background == b.background && std::ranges::is_permutation(a.objects, b.objects);
}

Scene in_place_order(Scene scene) {
  std::ranges::sort(scene.objects,
                    [](const Object& a, const Object& b) { return a.place != b.place ? a.place < b.place : a < b; });
  return scene;
}

void check_scene(const Scene& scene) {
  check<DataError>(scene.background < kBackgrounds.size(), "[scene] background must be below ", kBackgrounds.size(),
                   ", got ", int{scene.background});
  check<DataError>(!scene.objects.empty() && scene.objects.size() <= kMaxObjects, "[scene] expected 1 to ", kMaxObjects,
                   " objects, got ", scene.objects.size());
  std::bitset<kPlaces.size()> taken;
  for (const auto& object : scene.objects) {
    check<DataError>(object.size < kSizes.size() && object.colour < kColours.size() && object.shape < kShapes.size() &&
                         object.place < kPlaces.size(),
                     "[scene] an object's attribute is out of range: size ", int{object.size}, ", colour ",
                     int{object.colour}, ", shape ", int{object.shape}, ", place ", int{object.place});
    check<DataError>(!taken[object.place], "[scene] expected distinct places, got two objects at the ",
                     kPlaces[object.place]);
    taken.set(object.place);
  }
}

nlohmann::json to_json(const Scene& scene) {
  auto objects = nlohmann::json::array();
  for (const auto& object : scene.objects) {
    objects.push_back({{"size", kSizes.at(object.size)},
                       {"colour", kColours.at(object.colour).name},
                       {"shape", kShapes.at(object.shape)},
                       {"place", kPlaces.at(object.place)}});
  }
  return {{"background", kBackgrounds.at(scene.background).name}, {"objects", objects}};
}

Scene scene_from_json(const nlohmann::json& json) {
  Scene scene{.background = row_named(kBackgrounds, json, "background"), .objects = {}};
  check<DataError>(json.contains("objects") && json["objects"].is_array(),
                   "[scene_from_json] expected a list in field 'objects', got ", json.dump().substr(0, 200));
  for (const auto& object : json["objects"]) {
    scene.objects.push_back({.size = row_named(kSizes, object, "size"),
                             .colour = row_named(kColours, object, "colour"),
                             .shape = row_named(kShapes, object, "shape"),
                             .place = row_named(kPlaces, object, "place")});
  }
  check_scene(scene);
  return scene;
}

}  // namespace polyphony::scenes
