// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/expert_load.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

// Pixels.
constexpr int kLeft = 150, kTop = 56, kCellWidth = 58, kCellHeight = 28, kLayerGap = 44;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
}

std::string words(int x, int y, const char* anchor, const char* fill, const std::string& text) {
  return join("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\" fill=\"", fill, "\">", escaped(text),
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
  nlohmann::ordered_json json = {{"schema", "polyphony.expert_load/1"}, {"experts", load.experts}};
  json["layers"] = nlohmann::ordered_json::array();
  for (const auto& layer : load.layers)
    json["layers"].push_back({{"modalities", layer.modalities},
                              {"tokens", layer.tokens_M},
                              {"share", layer.share_ME},
                              {"router_entropy", layer.router_entropy}});
  return json.dump(2) + "\n";
}

std::string expert_load_svg(const ExpertLoad& load) {
  std::string body;
  int y = kTop;
  const auto num_experts = static_cast<int>(load.experts.size());
  const int width = kLeft + num_experts * kCellWidth + 16;
  body += words(16, 26, "start", "#1d2733", "Share of each modality's rows that an expert takes, in percent");
  for (size_t l = 0; l < load.layers.size(); ++l) {
    const auto& layer = load.layers[l];
    body += words(16, y, "start", "#1d2733", join("layer ", l));
    for (int e = 0; e < num_experts; ++e)
      body += words(kLeft + e * kCellWidth + kCellWidth / 2 - 1, y, "middle", "#5b6775", load.experts[e]);
    y += 8;
    for (size_t m = 0; m < layer.modalities.size(); ++m) {
      body += words(kLeft - 10, y + 18, "end", "#5b6775", layer.modalities[m]);
      for (int e = 0; e < num_experts; ++e) body += cell(kLeft + e * kCellWidth, y, layer.share_ME[m][e]);
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
