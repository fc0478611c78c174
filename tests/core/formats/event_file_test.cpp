// SPDX-License-Identifier: Apache-2.0
// Event files: our reader reads what our writer writes; TensorBoard's own reader read the golden file (see
// scripts/golden/event_file.py), and the writer still makes it byte for byte.
#include "core/formats/event_file.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"
#include "core/formats/crc32c.h"
#include "core/formats/protobuf_wire.h"

namespace polyphony::formats {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

const std::string kGolden = std::string(POLYPHONY_SOURCE_DIR) + "/tests/golden/event_file";

// A grey picture of one pixel.
const std::string kPng(
    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDATx\x9c\x63\x68\0\0\0\x82\0"
    "\x81\x77"
    "\xcd\x72\xb6\0\0\0\0IEND\xae\x42\x60\x82",
    67);

class EventFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "polyphony_event_file_test";
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // The events of the golden file, with a clock that counts from 1000000.
  std::filesystem::path write_golden_events() {
    double now = 1000000;
    EventFileWriter writer(folder_, {.suffix = ".golden", .wall_time_s = [&] { return now += 0.5; }});
    writer.scalar("loss/train", 0, 2.5);
    writer.scalar("loss/train", 10, 1.25);
    writer.scalar("loss/train", int64_t{1} << 40, -0.1);
    writer.image("samples/0", 10, {.png = kPng, .width = 1, .height = 1});
    writer.text("config", 0, "# title\n\xE2\x99\xAB");
    const std::vector<float> load = {0, 1, 1, 2, 4, NAN};
    writer.histogram("experts/load", 10, make_histogram(load, 4));
    return writer.path();
  }

  std::filesystem::path folder_;
};

TEST(Crc32c, MatchesTheVectorsOfRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

TEST_F(EventFileTest, IsReadBackAsItWasWritten) {
  const auto file = read_event_file(write_golden_events());
  EXPECT_FALSE(file.torn);
  ASSERT_EQ(file.events.size(), 7u);
  EXPECT_EQ(file.events[1].values.at(0).tag, "loss/train");
  EXPECT_EQ(std::get<EventScalar>(file.events[2].values.at(0).value).value, 1.25f);
  EXPECT_EQ(file.events[3].step, int64_t{1} << 40);
  EXPECT_GT(file.events[3].wall_time_s, 1000000);
  const auto image = std::get<EventImage>(file.events[4].values.at(0).value);
  EXPECT_EQ(image.png, kPng);
  EXPECT_EQ(image.width, 1);
  EXPECT_EQ(std::get<EventText>(file.events[5].values.at(0).value).markdown, "# title\n\xE2\x99\xAB");
  const auto histogram = std::get<EventHistogram>(file.events[6].values.at(0).value);
  EXPECT_THAT(histogram.bucket_limits, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(histogram.buckets, ElementsAre(3, 1, 0, 1));
  EXPECT_EQ(histogram.num, 5);
  EXPECT_EQ(histogram.sum_squares, 22);
}

TEST_F(EventFileTest, TheWriterStillMakesTheFileThatTensorBoardRead) {
  const auto made = read_file(write_golden_events(), 1 << 20);
  if (const char* target = std::getenv("POLYPHONY_WRITE_EVENT_FILE")) std::ofstream(target, std::ios::binary) << made;
  EXPECT_TRUE(made == read_file(kGolden + "/events.out.tfevents.golden", 1 << 20));
}

TEST(EventFileGolden, TensorBoardReadTheSameValuesAsWe) {
  const auto verdict = nlohmann::json::parse(read_file(kGolden + "/tensorboard_read.json", 1 << 20));
  const auto file = read_event_file(kGolden + "/events.out.tfevents.golden");
  EXPECT_EQ(verdict["file_version"], file.events.front().file_version);
  ASSERT_EQ(verdict["events"].size() + 1, file.events.size());
  for (size_t i = 0; i < verdict["events"].size(); ++i) {
    const auto& theirs = verdict["events"][i];
    const auto& ours = file.events[i + 1];
    EXPECT_EQ(theirs["step"], ours.step);
    EXPECT_THAT(theirs["wall_time"].get<double>(), DoubleEq(ours.wall_time_s));
    const auto& value = ours.values.at(0);
    EXPECT_EQ(theirs["tag"], value.tag);
    if (const auto* scalar = std::get_if<EventScalar>(&value.value)) {
      EXPECT_EQ(theirs["plugin"], "scalars");
      EXPECT_EQ(theirs["scalar"].get<float>(), scalar->value);
    } else if (const auto* text = std::get_if<EventText>(&value.value)) {
      EXPECT_EQ(theirs["plugin"], "text");
      EXPECT_EQ(theirs["text"], text->markdown);
    } else if (const auto* image = std::get_if<EventImage>(&value.value)) {
      EXPECT_EQ(theirs["plugin"], "images");
      EXPECT_EQ(theirs["size"], nlohmann::json({image->width, image->height}));
      EXPECT_EQ(theirs["png_bytes"], image->png.size());
    } else {
      const auto& histogram = std::get<EventHistogram>(value.value);
      EXPECT_EQ(theirs["plugin"], "histograms");
      EXPECT_EQ(theirs["num"], histogram.num);
      EXPECT_EQ(theirs["buckets"].get<std::vector<double>>(), histogram.buckets);
    }
  }
}

TEST_F(EventFileTest, ATornEndIsNotedAndTheRestIsRead) {
  const auto bytes = read_file(write_golden_events(), 1 << 20);
  const auto whole = parse_event_file(bytes, "x").events.size();
  for (const size_t cut : {size_t{1}, size_t{5}, size_t{40}}) {
    const auto file = parse_event_file(std::string_view(bytes).substr(0, bytes.size() - cut), "x");
    EXPECT_TRUE(file.torn);
    EXPECT_EQ(file.events.size(), whole - 1);
  }
}

TEST_F(EventFileTest, EveryFlippedByteIsFound) {
  const auto bytes = read_file(write_golden_events(), 1 << 20);
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_THROW(parse_event_file(damaged, "x"), DataError) << i;
  }
}

TEST(EventFile, WhatIsNoEventFileIsRefused) {
  EXPECT_THROW(parse_event_file("", "x"), DataError);
  EXPECT_THROW(parse_event_file("this is a text and no event file", "x"), DataError);
  EXPECT_THROW(parse_event_file(event_record({.wall_time_s = 1, .file_version = "other"}), "x"), DataError);
  EXPECT_THROW(read_event_file("/dev/zero"), DataError);
}

TEST(EventFile, AMessageThatEndsEarlyIsRefusedThoughItsChecksumHolds) {
  const std::string message = "\x0a\x7f";  // a field of 127 bytes that are not there
  const std::string length = little_endian(message.size(), 8);
  const std::string record =
      length + little_endian(masked_crc32c(length), 4) + message + little_endian(masked_crc32c(message), 4);
  EXPECT_THROW(parse_event_file(record, "x"), DataError);
}

TEST(MakeHistogram, CountsEveryFiniteValueOnce) {
  EXPECT_TRUE(make_histogram({}).buckets.empty());
  const std::vector<float> same(7, 3.0f);
  EXPECT_THAT(make_histogram(same).buckets, ElementsAre(7));
  std::vector<float> many;
  for (int i = 0; i < 1000; ++i) many.push_back(std::sin(static_cast<float>(i)));
  many.push_back(std::numeric_limits<float>::infinity());
  const auto histogram = make_histogram(many);
  double sum = 0;
  for (const double bucket : histogram.buckets) sum += bucket;
  EXPECT_EQ(sum, 1000);
  EXPECT_THROW(make_histogram(many, 0), Error);
}

}  // namespace
}  // namespace polyphony::formats
