// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/figure.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/base/files.h"
#include "core/base/xml.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

constexpr double kWidth = 700, kRight = 24, kRow = 26, kTitle = 34, kAxis = 50;
constexpr const char* kInk = "#24292f";
constexpr const char* kFaint = "#d0d7de";
constexpr const char* kDot = "#0969da";

std::string px(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed, 1).ptr};
}

struct Label {
  double x = 0, y = 0;
  const char* anchor = "start";  // start | middle | end
  const char* more = "";         // further attributes
};

std::string text(const std::string& words, const Label& at) {
  return join("<text x=\"", px(at.x), "\" y=\"", px(at.y), "\" text-anchor=\"", at.anchor, "\"", at.more, ">",
              xml_escaped(words), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, const std::string& stroke) {
  return join("<line x1=\"", px(x1), "\" y1=\"", px(y1), "\" x2=\"", px(x2), "\" y2=\"", px(y2), "\" ", stroke, "/>\n");
}

// Where values lie on the horizontal axis.
struct Scale {
  double low = 0, high = 1;    // values
  double left = 0, right = 1;  // pixels
  double at(double value) const { return left + (value - low) / (high - low) * (right - left); }
};

// 1, 2 or 5 times a power of ten: at most six steps in the range.
double tick_step(double range) {
  const double power = std::pow(10, std::floor(std::log10(range / 6)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power * 6 >= range) return step * power;
  return 10 * power;
}

struct Panel {
  std::string metric;
  std::vector<std::map<uint64_t, double>> values_A = {};  // by arm
  std::vector<double> limits = {};                        // constants that claims name
};

Panel panel_of(const StudyRecord& record, const std::string& metric) {
  Panel panel{.metric = metric};
  for (const auto& arm : record.study.arms) {
    std::map<uint64_t, double> values;
    for (const auto& run : record.runs)
      if (const auto found = run.metrics.find(metric); run.arm == arm.name && found != run.metrics.end())
        values[run.seed] = found->second;
    panel.values_A.push_back(std::move(values));
  }
  for (const auto& claim : record.study.claims)
    if (claim.metric == metric && claim.than.empty()) panel.limits.push_back(claim.factor);
  return panel;
}

// The range of all that is shown, with air at both ends; nothing if nothing is shown.
std::optional<Scale> scale_of(const Panel& panel, double left) {
  std::vector<double> shown = panel.limits;
  for (const auto& values : panel.values_A)
    for (const auto& [seed, value] : values) shown.push_back(value);
  if (shown.empty()) return std::nullopt;
  const auto [low, high] = std::minmax_element(shown.begin(), shown.end());
  const double air = *high > *low ? 0.06 * (*high - *low) : std::max(0.05 * std::abs(*low), 0.05);
  return Scale{.low = *low - air, .high = *high + air, .left = left, .right = kWidth - kRight};
}

std::string axis(const Panel& panel, const Scale& scale, double top, double bottom) {
  std::string out = line(scale.left, bottom, scale.right, bottom, join("stroke=\"", kInk, "\""));
  const double step = tick_step(scale.high - scale.low);
  for (auto i = static_cast<int64_t>(std::ceil(scale.low / step)); static_cast<double>(i) * step <= scale.high; ++i) {
    const double value = static_cast<double>(i) * step;
    out += line(scale.at(value), top, scale.at(value), bottom, join("stroke=\"", kFaint, "\""));
    out += text(short_number(value), {.x = scale.at(value), .y = bottom + 16, .anchor = "middle"});
  }
  return out +
         text(metric_label(panel.metric), {.x = (scale.left + scale.right) / 2, .y = bottom + 36, .anchor = "middle"});
}

std::string row(const std::map<uint64_t, double>& values, const Scale& scale, double y) {
  std::string out;
  for (const auto& [seed, value] : values)
    out += join("<circle cx=\"", px(scale.at(value)), "\" cy=\"", px(y), "\" r=\"4.5\" fill=\"", kDot,
                "\" fill-opacity=\"0.55\"/>\n");
  if (values.empty()) return out;
  const double x = scale.at(mean_and_spread(values).mean);
  return out + line(x, y - 9, x, y + 9, join("stroke=\"", kInk, "\" stroke-width=\"2.5\""));
}

std::string drawn(const Panel& panel, const Study& study, double left, double top) {
  const auto scale = scale_of(panel, left);
  if (!scale) return {};
  const double bottom = top + kRow * static_cast<double>(study.arms.size());
  auto out = axis(panel, *scale, top, bottom);
  for (const double limit : panel.limits)
    out +=
        line(scale->at(limit), top, scale->at(limit), bottom, join("stroke=\"", kInk, "\" stroke-dasharray=\"5 4\""));
  for (size_t a = 0; a < study.arms.size(); ++a) {
    const double y = top + kRow * (static_cast<double>(a) + 0.5);
    out += text(study.arms[a].name, {.x = left - 12, .y = y + 4.5, .anchor = "end"});
    out += row(panel.values_A[a], *scale, y);
  }
  return out;
}

}  // namespace

std::string study_figure(const StudyRecord& record) {
  size_t longest = 0;
  for (const auto& arm : record.study.arms) longest = std::max(longest, arm.name.size());
  const double left = std::clamp(7.0 * static_cast<double>(longest) + 24, 90.0, 330.0);

  std::vector<std::string> metrics;
  for (const auto& claim : record.study.claims)
    if (std::find(metrics.begin(), metrics.end(), claim.metric) == metrics.end()) metrics.push_back(claim.metric);
  const double panel_height = kRow * static_cast<double>(record.study.arms.size()) + kAxis;
  const double height = kTitle + panel_height * static_cast<double>(metrics.size());

  auto out =
      join("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", px(kWidth), "\" height=\"", px(height),
           "\" viewBox=\"0 0 ", px(kWidth), " ", px(height), "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"",
           kInk, "\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
  out += text(record.study.title, {.x = 12, .y = 22, .more = " font-size=\"15\" font-weight=\"bold\""});
  for (size_t i = 0; i < metrics.size(); ++i)
    out += drawn(panel_of(record, metrics[i]), record.study, left, kTitle + panel_height * static_cast<double>(i));
  return out + "</svg>\n";
}

void write_figure(const std::filesystem::path& folder, const StudyRecord& record) {
  write_file_atomic(folder / (record.study.name + ".svg"), study_figure(record));
}

}  // namespace polyphony::pipelines
