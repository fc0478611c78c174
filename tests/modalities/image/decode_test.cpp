// SPDX-License-Identifier: Apache-2.0
// Pixels of every format and variant against Pillow's, and files that must be refused.
#include "modalities/image/decode.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/files.h"
#include "core/error.h"
#include "core/tensor_io.h"

namespace polyphony::image {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kGolden = POLYPHONY_SOURCE_DIR "/tests/golden/image";

std::string golden_bytes(const std::string& name) { return read_file(kGolden / "files" / name, 1 << 20); }

at::Tensor decode(const std::string& bytes, std::vector<std::string>* notes = nullptr) {
  return decode_image(as_byte_span(bytes), {}, notes);
}

std::string refusal(const std::string& bytes) {
  try {
    decode(bytes);
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

// Codecs of another version may round differently; a turned copy was compressed in its own blocks.
int tolerance(const std::string& name) {
  if (name.starts_with("lossy_exif")) return 14;
  if (name.starts_with("lossy_cmyk")) return 3;
  if (name == "rgba.tif") return 1;  // libtiff rounds when it multiplies by alpha
  return name.starts_with("lossy") ? 2 : 0;
}

TEST(DecodeImage, GivesThePixelsOfTheStatedRules) {
  const TensorMap expected = load_tensors(kGolden / "decoded.safetensors");
  EXPECT_GT(expected.size(), 50u);
  for (const auto& [name, pixels_YXC] : expected) {
    const at::Tensor image_YXC = decode(golden_bytes(name));
    ASSERT_EQ(image_YXC.sizes(), pixels_YXC.sizes()) << name;
    EXPECT_TRUE(image_YXC.is_contiguous()) << name;
    const int error = (image_YXC.to(at::kInt) - pixels_YXC.to(at::kInt)).abs().max().item<int>();
    EXPECT_LE(error, tolerance(name)) << name;
  }
}

TEST(DecodeImage, NotesWhatThePixelsDoNotShow) {
  for (const std::string name : {"animated.png", "animated.webp", "pages.tif", "grey_key.png"}) {
    std::vector<std::string> notes;
    decode(golden_bytes(name), &notes);
    EXPECT_EQ(notes.size(), 1u) << name;
  }
  std::vector<std::string> notes;
  decode(golden_bytes("rgb.png"), &notes);
  EXPECT_TRUE(notes.empty());
}

TEST(DecodeImage, RefusesTruncatedFilesAtAnyPoint) {
  for (const std::string name : {"rgb.png", "lossy_rgb.jpg", "lossy_progressive.jpg", "lossless.webp", "rgb.bmp"}) {
    const std::string file = golden_bytes(name);
    for (size_t tenth = 0; tenth < 10; ++tenth)
      EXPECT_NE(refusal(file.substr(0, file.size() * tenth / 10)), "accepted") << name << " at " << tenth << " tenths";
    EXPECT_NE(refusal(file.substr(0, file.size() - 1)), "accepted") << name;
  }
}

TEST(DecodeImage, DamagedPixelsGiveAnImageOrADataError) {
  for (const auto& entry : fs::directory_iterator(kGolden / "files")) {
    std::string file = read_file(entry.path(), 1 << 20);
    for (size_t i = 8; i < file.size(); i += 1 + file.size() / 12) {
      file[i] ^= '\x55';
      refusal(file);  // anything but DataError fails the test
      file[i] ^= '\x55';
    }
  }
}

TEST(DecodeImage, RefusesBytesOverTheLimit) {
  const std::string file = golden_bytes("rgb.png");
  EXPECT_THROW(decode_image(as_byte_span(file), {.max_file_bytes = 10}), DataError);
  EXPECT_THROW(decode_image(as_byte_span(file), {.size = {.max_side = 5}}), DataError);
}

TEST(LoadImage, ReadsLocalFilesOnly) {
  EXPECT_EQ(load_image(kGolden / "files" / "rgb_named.jpg").size(2), 3);
  const std::string long_name(5000, 'n');
  for (const std::string& path :
       {std::string("https://example.org/a.png"), std::string("/vsicurl/http://example.org/a.png"),
        std::string("file:///etc/passwd"), long_name, kGolden.string(), std::string("/dev/zero")})
    EXPECT_THROW(load_image(path), DataError) << path.substr(0, 60);
}

TEST(LoadImage, NamesTheFile) {
  const fs::path path = fs::temp_directory_path() / "polyphony not an image é.png";
  std::ofstream(path) << "words";
  try {
    load_image(path);
    ADD_FAILURE() << "accepted";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr("not an image"));
  }
  fs::remove(path);
}

}  // namespace
}  // namespace polyphony::image
