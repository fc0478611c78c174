// SPDX-License-Identifier: Apache-2.0
// Pictures as PNG files that say how to draw them again.
#include <charconv>
#include <cstdio>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/png_text.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/requests/picture_text.h"
#include "pipelines/session.h"

namespace polyphony::pipelines {
namespace {

constexpr uint64_t kMaxPictureBytes = 256u << 20;
constexpr const char* kOurKeyword = "polyphony";
constexpr const char* kCommonKeyword = "parameters";

}  // namespace

std::string encode_png(const RgbImage& image) {
  const auto expected = static_cast<size_t>(3 * image.width * image.height);
  check<ShapeError>(image.width > 0 && image.height > 0 && image.pixels.size() == expected, "[picture] expected ",
                    expected, " bytes of pixels, got ", image.pixels.size());
  const cv::Mat rgb(static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3,
                    const_cast<uint8_t*>(image.pixels.data()));  // read only: cv::Mat knows no const data
  cv::Mat bgr;
  cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  // Fixed level and strategy: the same pixels are the same bytes.
  const std::vector<int> settings{cv::IMWRITE_PNG_COMPRESSION, 6, cv::IMWRITE_PNG_STRATEGY,
                                  cv::IMWRITE_PNG_STRATEGY_DEFAULT};
  check<Error>(cv::imencode(".png", bgr, bytes, settings), "[picture] the PNG encoder failed");
  return {bytes.begin(), bytes.end()};
}

namespace {

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", value);
  return text;
}

// "207: golden retriever", or the number alone.
std::string class_text(const nlohmann::json& json) {
  const auto& label = json["class"];
  const auto name = json.value("class_name", "");
  return (label.is_string() ? label.get<std::string>() : dump_json(label)) + (name.empty() ? "" : ": " + name);
}

// Source: the text that AUTOMATIC1111's web UI writes and most viewers read: the prompt, then "Key: value" pairs.
std::string common_text(const Picture& picture) {
  const auto json = parse_json(picture.parameters_json, "picture parameters");
  std::string text = json.contains("class") ? "class " + class_text(json) : json.value("prompt", "");
  text += "\n";
  if (json.contains("sampler")) text += "Sampler: " + json["sampler"].get<std::string>() + ", ";
  if (json.contains("steps")) text += "Steps: " + dump_json(json["steps"]) + ", ";
  if (json.contains("guidance")) text += "CFG scale: " + short_number(json["guidance"].get<double>()) + ", ";
  text += "Seed: " + std::to_string(picture.seed) + ", Size: " + std::to_string(picture.image.width) + "x" +
          std::to_string(picture.image.height);
  // A value with a comma, colon or line end is quoted as JSON.
  if (const auto model = json.value("model", ""); !model.empty())
    text += ", Model: " + (model.find_first_of(",:\n\"") == std::string::npos ? model : dump_json(model));
  return text;
}

}  // namespace

std::string encode_picture(const Picture& picture) {
  const auto png = encode_png(picture.image);
  const std::vector<formats::PngText> texts{
      {.keyword = kCommonKeyword, .text = common_text(picture)},
      {.keyword = kOurKeyword, .text = picture.parameters_json, .international = true}};
  return formats::insert_png_text(as_byte_span(png), texts);
}

void save_picture(const Picture& picture, const SaveOptions& options) {
  std::error_code unreadable;  // writing says what is wrong with the name
  check<UsageError>(options.overwrite || !std::filesystem::exists(options.file, unreadable), "[output] '",
                    printable(options.file), "' is there already: use --overwrite or another name");
  write_file_atomic(options.file, std::string_view(encode_picture(picture)));
}

PictureText read_picture_text(std::string_view png) {
  PictureText out;
  for (const auto& entry : formats::read_png_text(as_byte_span(png)).texts) {
    if (entry.keyword == kCommonKeyword && out.parameters.empty()) out.parameters = entry.text;
    if (entry.keyword == kOurKeyword && out.json.empty()) out.json = entry.text;
  }
  return out;
}

GenerateRequest request_from_picture(const std::string& file) {
  const auto bytes = read_file(file, kMaxPictureBytes);
  const auto text = [&] {
    try {
      return read_picture_text(bytes);
    } catch (const DataError& error) {
      fail<DataError>("[", printable(file), "] ", error.what());
    }
  }();
  check<DataError>(!text.json.empty(), "[", printable(file), "] the picture holds no parameters of this program");
  try {
    const auto request = request_from_json(text.json);
    if (const auto* generate = std::get_if<GenerateRequest>(&request)) return *generate;
  } catch (const Error& error) {
    fail<DataError>("[", printable(file), "] the picture's parameters are not usable: ", error.what());
  }
  fail<DataError>("[", printable(file), "] the picture's parameters are not those of a drawn picture");
}

}  // namespace polyphony::pipelines
