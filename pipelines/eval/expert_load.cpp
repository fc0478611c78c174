// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/expert_load.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/xml.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

// Pixels.
constexpr int kLeft = 150, kTop = 56, kCellWidth = 58, kCellHeight = 28, kLayerGap = 44, kLeastWidth = 470;

std::string words(int x, int y, const char* anchor, const char* fill, const std::string& text) {
  return join("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\" fill=\"", fill, "\">", xml_escaped(text),
              "</text>\n");
}

// From near white to a deep blue.
std::string colour(double share) {
  const auto mix = [&](double light, double dark) {
    return static_cast<int>(std::lround(light + (dark - light) * share));
  };
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", mix(243, 20), mix(246, 66), mix(251, 140));
  return text;
}

std::string cell(int x, int y, double share) {
  std::string out = join("<rect x=\"", x, "\" y=\"", y, "\" width=\"", kCellWidth - 2, "\" height=\"", kCellHeight - 2,
                         "\" rx=\"3\" fill=\"", colour(share), "\"/>\n");
  if (share == 0) return out;
  char percent[16];
  std::snprintf(percent, sizeof percent, share < 0.1 ? "%.1f" : "%.0f", 100 * share);
  return out + words(x + kCellWidth / 2 - 1, y + 18, "middle", share > 0.45 ? "#ffffff" : "#1d2733", percent);
}

}  // namespace

std::string to_json(const ExpertLoad& load) {
  nlohmann::ordered_json json = {{"schema", "polyphony.expert_load/2"}, {"by", load.by}, {"experts", load.experts}};
  json["layers"] = nlohmann::ordered_json::array();
  for (const auto& layer : load.layers)
    json["layers"].push_back({{"rows", layer.rows_M},
                              {"tokens", layer.tokens_M},
                              {"share", layer.share_ME},
                              {"router_entropy", layer.router_entropy}});
  return json.dump(2) + "\n";
}

namespace {

// Experts that took a token of some layer: the others would be empty columns.
std::vector<size_t> used_experts(const ExpertLoad& load) {
  std::vector<size_t> used;
  for (size_t e = 0; e < load.experts.size(); ++e)
    if (std::ranges::any_of(load.layers, [e](const LayerLoad& layer) {
          return std::ranges::any_of(layer.share_ME, [e](const auto& share_E) { return share_E[e] > 0; });
        }))
      used.push_back(e);
  return used;
}

}  // namespace

std::string expert_load_svg(const ExpertLoad& load) {
  std::string body;
  int y = kTop;
  const auto experts = used_experts(load);
  const int columns = static_cast<int>(experts.size());
  const int width = std::max(kLeft + columns * kCellWidth + 16, kLeastWidth);
  body += words(16, 26, "start", "#1d2733",
                join("Share of the tokens of each ", load.by, " that an expert takes, in percent"));
  for (size_t l = 0; l < load.layers.size(); ++l) {
    const auto& layer = load.layers[l];
    body += words(16, y, "start", "#1d2733", join("layer ", l));
    for (int c = 0; c < columns; ++c)
      body += words(kLeft + c * kCellWidth + kCellWidth / 2 - 1, y, "middle", "#5b6775",
                    load.experts[experts[static_cast<size_t>(c)]]);
    y += 8;
    for (size_t m = 0; m < layer.rows_M.size(); ++m) {
      body += words(kLeft - 10, y + 18, "end", "#5b6775", layer.rows_M[m]);
      for (int c = 0; c < columns; ++c)
        body += cell(kLeft + c * kCellWidth, y, layer.share_ME[m][experts[static_cast<size_t>(c)]]);
      y += kCellHeight;
    }
    y += kLayerGap;
  }
  return join(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", y - kLayerGap + 16,
      "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      body, "</svg>\n");
}

}  // namespace polyphony::pipelines
