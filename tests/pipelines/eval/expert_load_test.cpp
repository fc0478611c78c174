// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/expert_load.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace polyphony::pipelines {
namespace {

ExpertLoad two_layers() {
  const LayerLoad layer{.rows_M = {"text", "latent"},
                        .tokens_M = {10, 4},
                        .share_ME = {{0.25, 0.75, 0}, {0, 0, 1}},
                        .router_entropy = 0.5};
  return {.experts = {"text <0>", "text 1", "latent 0"}, .layers = {layer, layer}};
}

int64_t count(const std::string& text, const std::string& part) {
  int64_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(ExpertLoad, FigureHasACellForEachLayerModalityAndExpert) {
  const auto svg = expert_load_svg(two_layers());
  EXPECT_EQ(count(svg, "<rect x="), 2 * 2 * 3);
  EXPECT_EQ(count(svg, ">25</text>"), 2);
  EXPECT_EQ(count(svg, ">100</text>"), 2);
  EXPECT_EQ(count(svg, ">0</text>"), 0) << "a forbidden expert has an empty cell";
  EXPECT_EQ(count(svg, "&lt;0&gt;"), 2) << "names are escaped";
  EXPECT_EQ(count(svg, "tokens of each modality"), 1);
}

TEST(ExpertLoad, FigureLeavesOutExpertsWithoutATokenOfAnyLayer) {
  auto load = two_layers();
  for (auto& layer : load.layers) layer.share_ME = {{0, 1, 0}, {0, 0, 1}};
  const auto svg = expert_load_svg(load);
  EXPECT_EQ(count(svg, "text &lt;0&gt;"), 0);
  EXPECT_EQ(count(svg, "<rect x="), 2 * 2 * 2);
}

TEST(ExpertLoad, TableHoldsTheSameNumbers) {
  const auto json = nlohmann::json::parse(to_json(two_layers()));
  EXPECT_EQ(json["layers"].size(), 2u);
  EXPECT_EQ(json["layers"][1]["share"][0][1].get<double>(), 0.75);
  EXPECT_EQ(json["layers"][0]["tokens"][1].get<int64_t>(), 4);
  EXPECT_EQ(json["experts"][2], "latent 0");
}

}  // namespace
}  // namespace polyphony::pipelines
