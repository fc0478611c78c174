// SPDX-License-Identifier: Apache-2.0
#include "pipelines/data/captioned/captioned_pictures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "modalities/image/decode.h"
#include "modalities/image/resize.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxCaptionBytes = 64 << 10, kMaxMetadataBytes = 64 << 20;
constexpr std::array<std::string_view, 7> kPictureEndings{".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"};

bool is_picture(const fs::path& file) {
  auto ending = file.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::ranges::find(kPictureEndings, ending) != kPictureEndings.end();
}

std::string checked_caption(std::string_view text, const std::string& where) {
  check<DataError>(is_utf8(text), "[", where, "] expected a caption in UTF-8");
  const auto caption = std::string(trim(text));
  check<DataError>(!caption.empty(), "[", where, "] expected a caption, got an empty one");
  return caption;
}

std::vector<CaptionedPicture> from_metadata(const fs::path& folder, const fs::path& metadata) {
  std::vector<CaptionedPicture> out;
  std::set<std::string> names;
  std::istringstream lines(read_file(metadata, kMaxMetadataBytes));
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (trim(line).empty()) continue;
    const auto where = join(metadata.string(), " line ", number);
    const auto json = parse_json(line, where);
    ObjectReader reader(json, where);
    const auto name = reader.text("file_name");
    const auto text = reader.text("text");
    check<DataError>(name && text, "[", where, R"(] expected "file_name" and "text")");
    check<DataError>(is_plain_file_name(*name), "[", where, "] file_name must name a file of this folder, got '",
                     printable(*name, 60), "'");
    check<DataError>(names.insert(*name).second, "[", where, "] '", printable(*name, 60), "' is there twice");
    check<DataError>(fs::is_regular_file(folder / *name), "[", where, "] there is no file ", (folder / *name).string());
    out.push_back({folder / *name, checked_caption(*text, where)});
  }
  return out;
}

std::vector<CaptionedPicture> from_text_files(const fs::path& folder) {
  std::set<fs::path> pictures, texts;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto& path = entry.path();
    if (path.filename().string().starts_with('.') || !entry.is_regular_file()) continue;
    if (is_picture(path)) pictures.insert(path);
    if (path.extension() == ".txt") texts.insert(path);
  }
  std::vector<CaptionedPicture> out;
  for (const auto& picture : pictures) {
    auto text = picture;
    text.replace_extension(".txt");
    check<DataError>(texts.erase(text) == 1, "[", picture.string(), "] expected its caption in ", text.string(),
                     ", or a metadata.jsonl in the folder");
    out.push_back({picture, checked_caption(read_file(text, kMaxCaptionBytes), text.string())});
  }
  check<DataError>(texts.empty(), "[", texts.empty() ? "" : texts.begin()->string(),
                   "] there is no picture of this name");
  return out;
}

}  // namespace

std::vector<CaptionedPicture> list_captioned_pictures(const fs::path& folder) {
  std::error_code unreadable;
  check<DataError>(fs::is_directory(folder, unreadable), "[pictures] there is no folder ", folder.string());
  const auto metadata = folder / "metadata.jsonl";
  auto out = fs::exists(metadata) ? from_metadata(folder, metadata) : from_text_files(folder);
  check<DataError>(!out.empty(), "[pictures] expected pictures with captions in ", folder.string(), ", got none");
  check<DataError>(std::ssize(out) <= kMaxCaptionedPictures, "[pictures] expected at most ", kMaxCaptionedPictures,
                   " pictures in ", folder.string(), ", got ", out.size());
  return out;
}

at::Tensor fit_square(const at::Tensor& bytes_HWC, int64_t side) {
  if (bytes_HWC.size(0) == side && bytes_HWC.size(1) == side) return bytes_HWC;
  const auto corner = bytes_HWC[0][0].contiguous();
  const auto* c = corner.const_data_ptr<uint8_t>();
  return image::fit_and_pad(bytes_HWC, {side, side}, {c[0], c[1], c[2]});
}

at::Tensor load_square(const fs::path& file, int64_t side) { return fit_square(image::load_image(file), side); }

}  // namespace polyphony::pipelines
