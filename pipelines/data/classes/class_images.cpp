// SPDX-License-Identifier: Apache-2.0
// A folder of pictures a class.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/image_header.h"
#include "modalities/image/decode.h"
#include "modalities/image/resize.h"
#include "pipelines/data/classes/class_data.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxPictureBytes = 256u << 20, kFrontBytes = 1u << 16;

// Names of the folders (or files) in a folder, without those that begin with a dot.
std::vector<std::string> names_in(const fs::path& folder, bool folders) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with('.') && (folders ? entry.is_directory() : entry.is_regular_file())) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// Label and name of each class: a name that is a number is the label where all are, else labels count the names.
std::map<int64_t, std::string> labelled(const std::vector<std::string>& names) {
  const auto is_label = [](const std::string& name) {
    const auto value = parse_integer(name);
    return value && *value >= 0 && *value < kMaxClasses;
  };
  const bool numbers = std::ranges::all_of(names, is_label);
  std::map<int64_t, std::string> out;
  for (const auto& name : names) {
    const int64_t label = numbers ? *parse_integer(name) : std::ssize(out);
    const auto [there, is_new] = out.emplace(label, name);
    check<DataError>(is_new, "[images] the folders '", printable(there->second, 40), "' and '", printable(name, 40),
                     "' name one class");
  }
  return out;
}

// The beginning nearly always holds the header.
bool has_header_in_front(const fs::path& file) {
  const auto input = InputFile::open(file);
  std::vector<std::byte> front(std::min(input.size(), kFrontBytes));
  input.read_at(0, front);
  try {
    formats::parse_image_header(front);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

void check_picture(const fs::path& file) {
  if (has_header_in_front(file)) return;
  try {
    formats::parse_image_header(as_byte_span(read_file(file, kMaxPictureBytes)));
  } catch (const DataError& error) {
    fail<DataError>("[", file.string(), "] ", error.what());
  }
}

class ClassImages : public ClassData {
 public:
  explicit ClassImages(const ClassImagesOptions& options) : options_(options) {
    std::error_code unreadable;
    check<DataError>(fs::is_directory(options.folder, unreadable), "[images] there is no folder ",
                     options.folder.string());
    classes_ = labelled(names_in(options.folder, true));
    check<DataError>(!classes_.empty(), "[images] expected one folder a class in ", options.folder.string(),
                     ", got none");
    for (const auto& [label, class_name] : classes_) {
      const auto folder = options.folder / class_name;
      const auto pictures = names_in(folder, false);
      check<DataError>(!pictures.empty(), "[images] expected pictures in ", folder.string(), ", got none");
      for (const auto& name : pictures) {
        check_picture(folder / name);
        files_.push_back({folder / name, label});
      }
    }
    cache_.resize(2 * files_.size());
  }

  int64_t size() const override { return std::ssize(files_); }
  int64_t label(int64_t i) const override { return files_[static_cast<size_t>(i)].label; }
  int64_t num_classes() const override { return classes_.rbegin()->first + 1; }
  std::map<int64_t, std::string> names() const override {
    auto out = classes_;
    for (auto& [label, name] : out) name = to_utf8(name);
    return out;
  }

  at::Tensor sample(int64_t i, bool mirrored, at::Generator& generator) override {
    const auto kept = features(i, mirrored);
    if (!options_.autoencoder) return kept.to(at::kFloat) / 127.5 - 1.0;
    const auto moments = kept.unsqueeze(0).chunk(2, 1);
    return options_.autoencoder->to_latent(latent::sample_latent({moments[0], moments[1]}, generator)).squeeze(0);
  }

 private:
  struct File {
    fs::path path;
    int64_t label;
  };

  // What is costly about a sample: u8 pixels, or the moments of the encoder one after another.
  at::Tensor features(int64_t i, bool mirrored) {
    auto& kept = cache_[static_cast<size_t>(2 * i + mirrored)];
    if (kept.defined()) return kept;
    auto made = options_.autoencoder ? encoded(pixels(i, mirrored)) : pixels(i, mirrored);
    cached_bytes_ += made.nbytes();
    if (cached_bytes_ <= options_.cache_bytes) kept = made;
    return made;
  }

  // u8 (C, side, side) of the picture.
  at::Tensor pixels(int64_t i, bool mirrored) const {
    const int64_t side = options_.side * (options_.autoencoder ? options_.autoencoder->config().downscale() : 1);
    auto image =
        image::cover_and_crop(image::load_image(files_[static_cast<size_t>(i)].path), {side, side}).permute({2, 0, 1});
    if (!options_.autoencoder && options_.channels == 1)
      image = image.to(at::kFloat).mean(0, /*keepdim=*/true).round().to(at::kByte);
    return (mirrored ? image.flip(-1) : image).contiguous();
  }

  at::Tensor encoded(const at::Tensor& bytes_CHW) const {
    const c10::InferenceMode inference;
    const auto moments = options_.autoencoder->encode(bytes_CHW.unsqueeze(0).to(at::kFloat) / 127.5 - 1.0);
    return at::cat({moments.mean, moments.logvar}, 1).squeeze(0).to(at::kFloat);  // also under autocast
  }

  ClassImagesOptions options_;
  std::map<int64_t, std::string> classes_;
  std::vector<File> files_;
  std::vector<at::Tensor> cache_;  // of each file: as it is, mirrored
  uint64_t cached_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ClassData> open_class_images(const ClassImagesOptions& options) {
  try {
    return std::make_unique<ClassImages>(options);
  } catch (const fs::filesystem_error& error) {
    fail<DataError>("[", error.path1().string(), "] ", error.code().message());
  }
}

}  // namespace polyphony::pipelines
