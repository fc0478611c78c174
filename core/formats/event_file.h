// SPDX-License-Identifier: Apache-2.0
// TensorBoard event files: numbers, pictures, texts and histograms over training steps.
// Source: TensorFlow's TFRecord framing, event.proto and summary.proto, as read by the tensorboard package.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace polyphony::formats {

struct EventScalar {
  float value = 0;
};
struct EventImage {
  std::string png;  // bytes of a PNG file
  int64_t width = 0;
  int64_t height = 0;
};
struct EventText {
  std::string markdown;
};
// Bucket i counts values in (bucket_limits[i - 1], bucket_limits[i]].
struct EventHistogram {
  double min = 0, max = 0, num = 0, sum = 0, sum_squares = 0;
  std::vector<double> bucket_limits, buckets;
};

struct EventValue {
  std::string tag;
  std::variant<std::monostate, EventScalar, EventImage, EventText, EventHistogram> value;  // monostate: another kind
};

struct Event {
  double wall_time_s = 0;  // since 1970
  int64_t step = 0;
  std::string file_version = {};  // only in the first event
  std::vector<EventValue> values = {};
};

// `num_buckets` equal buckets between the least and the greatest finite value; values that are not finite are left out.
EventHistogram make_histogram(std::span<const float> values, int64_t num_buckets = 30);

struct EventFileOptions {
  std::string suffix = {};                        // of the file's name, such as ".eval"
  std::function<double()> wall_time_s = nullptr;  // seconds since 1970; null is the system's clock
};

// Appends events to a new file `events.out.tfevents.<seconds>.<host>.<pid><suffix>` in a folder (made if missing).
// Each event is written at once. Throws Error when the disk is full.
class EventFileWriter {
 public:
  explicit EventFileWriter(const std::filesystem::path& folder, EventFileOptions options = {});
  ~EventFileWriter();
  EventFileWriter(const EventFileWriter&) = delete;
  EventFileWriter& operator=(const EventFileWriter&) = delete;

  void scalar(std::string_view tag, int64_t step, double value);
  void image(std::string_view tag, int64_t step, const EventImage& image);
  void text(std::string_view tag, int64_t step, std::string_view markdown);
  void histogram(std::string_view tag, int64_t step, const EventHistogram& histogram);
  const std::filesystem::path& path() const { return path_; }

 private:
  void write(const Event& event);

  EventFileOptions options_;
  std::filesystem::path path_;
  int fd_ = -1;
};

struct EventFile {
  std::vector<Event> events;
  bool torn = false;  // the last record was cut short, as by a killed writer
};

// Checks both checksums of every record. Throws DataError for a file that is none or is damaged before its end.
EventFile read_event_file(const std::filesystem::path& path);
EventFile parse_event_file(std::string_view bytes, std::string_view name);

// The bytes of one record, framing and checksums included.
std::string event_record(const Event& event);

}  // namespace polyphony::formats
