// SPDX-License-Identifier: Apache-2.0
#include "pipelines/data/captioned/captioned_pictures.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "core/error.h"
#include "modalities/image/encode.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

using testing::TemporaryFolder;
using testing::why_not_refused;

class CaptionedPictures : public ::testing::Test {
 protected:
  void picture(const std::string& name, int64_t height = 8, int64_t width = 8) {
    write_file_atomic(folder_ / name, image::encode_png(at::full({height, width, 3}, 40, at::kByte)));
  }
  void text(const std::string& name, const std::string& bytes) { write_file_atomic(folder_ / name, bytes); }
  std::string refused(std::initializer_list<const char*> words) {
    return why_not_refused<DataError>([&] { list_captioned_pictures(folder_.path()); }, words);
  }
  TemporaryFolder folder_;
};

TEST_F(CaptionedPictures, TextsBesidePicturesAreTheirCaptions) {
  picture("b.PNG"), picture("a.png"), picture(".hidden.png");
  text("b.txt", "  a ring\n"), text("a.txt", "a heart");
  const auto list = list_captioned_pictures(folder_.path());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].file, folder_ / "a.png");
  EXPECT_EQ(list[0].caption, "a heart");
  EXPECT_EQ(list[1].caption, "a ring");
}

TEST_F(CaptionedPictures, MetadataNamesFilesAndTexts) {
  picture("x.png"), picture("y.png");
  text("metadata.jsonl",
       "{\"file_name\": \"y.png\", \"text\": \"second\"}\n\n{\"file_name\": \"x.png\", \"text\": \"first\"}\n");
  const auto list = list_captioned_pictures(folder_.path());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].caption, "second");
  EXPECT_EQ(list[1].file, folder_ / "x.png");
}

TEST_F(CaptionedPictures, WhatDoesNotFitTogetherIsNamed) {
  EXPECT_EQ(refused({"got none"}), "");
  picture("a.png");
  EXPECT_EQ(refused({"a.png", "a.txt"}), "") << "no caption";
  text("a.txt", " \n");
  EXPECT_EQ(refused({"a.txt", "empty"}), "");
  text("a.txt", "\xff\xfe");
  EXPECT_EQ(refused({"a.txt", "UTF-8"}), "");
  text("a.txt", "a heart"), text("b.txt", "a ring");
  EXPECT_EQ(refused({"b.txt", "no picture"}), "");
  const auto metadata = [&](const std::string& line) { text("metadata.jsonl", line); };
  metadata("{\"file_name\": \"a.png\"}");
  EXPECT_EQ(refused({"metadata.jsonl line 1", "text"}), "");
  metadata("{\"file_name\": \"../a.png\", \"text\": \"x\"}");
  EXPECT_EQ(refused({"line 1", "../a.png"}), "");
  metadata("{\"file_name\": \"c.png\", \"text\": \"x\"}");
  EXPECT_EQ(refused({"line 1", "c.png"}), "");
  metadata("{\"file_name\": \"a.png\", \"text\": \"x\"}\n{\"file_name\": \"a.png\", \"text\": \"y\"}");
  EXPECT_EQ(refused({"line 2", "twice"}), "");
  metadata("{");
  EXPECT_EQ(refused({"line 1"}), "");
  EXPECT_EQ(why_not_refused<DataError>([&] { list_captioned_pictures(folder_ / "none"); }, {"no folder"}), "");
}

TEST_F(CaptionedPictures, AnyShapeBecomesASquareAndTheWholePictureStays) {
  auto wide = at::full({20, 60, 3}, 10, at::kByte);
  wide.narrow(1, 30, 30).fill_(200);
  const auto square = fit_square(wide, 96);
  EXPECT_EQ(square.sizes(), (std::vector<int64_t>{96, 96, 3}));
  EXPECT_EQ(square[0][0][0].item<int64_t>(), 10) << "padded with the corner's colour";
  EXPECT_EQ(square[48][5][0].item<int64_t>(), 10);
  EXPECT_EQ(square[48][90][0].item<int64_t>(), 200);
  text("a.png", "no picture");
  EXPECT_EQ(why_not_refused<DataError>([&] { load_square(folder_ / "a.png", 96); }, {"a.png"}), "");
}

}  // namespace
}  // namespace polyphony::pipelines
