// SPDX-License-Identifier: Apache-2.0
// Writing of event files.
#include "core/formats/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/crc32c.h"
#include "core/formats/protobuf_wire.h"

namespace polyphony::formats {

namespace {

// Field numbers: event.proto, summary.proto, histogram.proto, tensor.proto.
void put(WireWriter&, const std::monostate&) {}

void put(WireWriter& value, const EventScalar& scalar) { value.fixed32(2, scalar.value); }

void put(WireWriter& value, const EventImage& image) {
  constexpr uint64_t kRgb = 3;
  WireWriter message;
  message.varint(1, static_cast<uint64_t>(image.height));
  message.varint(2, static_cast<uint64_t>(image.width));
  message.varint(3, kRgb);
  message.bytes(4, image.png);
  value.bytes(4, message.str());
}

void put(WireWriter& value, const EventText& text) {
  // A string tensor of shape (1) that the "text" plugin claims.
  constexpr uint64_t kDtString = 7;
  WireWriter plugin, metadata, dim, shape, tensor;
  plugin.bytes(1, "text");
  metadata.bytes(1, plugin.str());
  dim.varint(1, 1);
  shape.bytes(2, dim.str());
  tensor.varint(1, kDtString);
  tensor.bytes(2, shape.str());
  tensor.bytes(8, text.markdown);
  value.bytes(8, tensor.str());
  value.bytes(9, metadata.str());
}

void put(WireWriter& value, const EventHistogram& histogram) {
  const auto packed = [](const std::vector<double>& numbers) {
    std::string out;
    for (const double number : numbers) {
      uint64_t bits = 0;
      std::memcpy(&bits, &number, sizeof(bits));
      out += little_endian(bits, 8);
    }
    return out;
  };
  WireWriter message;
  message.fixed64(1, histogram.min);
  message.fixed64(2, histogram.max);
  message.fixed64(3, histogram.num);
  message.fixed64(4, histogram.sum);
  message.fixed64(5, histogram.sum_squares);
  message.bytes(6, packed(histogram.bucket_limits));
  message.bytes(7, packed(histogram.buckets));
  value.bytes(5, message.str());
}

double system_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  std::array<char, 256> buffer{};
  if (::gethostname(buffer.data(), buffer.size() - 1) != 0 || buffer[0] == '\0') return "localhost";
  std::string name = buffer.data();
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

}  // namespace

std::string event_record(const Event& event) {
  WireWriter message;
  message.fixed64(1, event.wall_time_s);
  if (event.step != 0) message.varint(2, static_cast<uint64_t>(event.step));
  if (!event.file_version.empty()) message.bytes(3, event.file_version);
  if (!event.values.empty()) {
    WireWriter summary;
    for (const auto& [tag, value] : event.values) {
      WireWriter item;
      item.bytes(1, tag);
      std::visit([&](const auto& kind) { put(item, kind); }, value);
      summary.bytes(1, item.str());
    }
    message.bytes(5, summary.str());
  }
  const std::string length = little_endian(message.str().size(), 8);
  return length + little_endian(masked_crc32c(length), 4) + message.str() +
         little_endian(masked_crc32c(message.str()), 4);
}

EventHistogram make_histogram(std::span<const float> values, int64_t num_buckets) {
  check<Error>(num_buckets >= 1, "[make_histogram] expected at least 1 bucket, got ", num_buckets);
  EventHistogram out;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    out.min = out.num == 0 ? value : std::min(out.min, value);
    out.max = out.num == 0 ? value : std::max(out.max, value);
    out.num += 1;
    out.sum += value;
    out.sum_squares += value * value;
  }
  if (out.num == 0) return out;
  const double width = (out.max - out.min) / static_cast<double>(num_buckets);
  // TensorBoard needs limits that rise; one value everywhere gets one bucket of a small width.
  if (!(out.min + width > out.min)) {
    out.bucket_limits = {out.max + std::max(1e-12, std::abs(out.max) * 1e-6)};
    out.buckets = {out.num};
    return out;
  }
  out.buckets.assign(static_cast<size_t>(num_buckets), 0);
  for (int64_t i = 1; i < num_buckets; ++i) out.bucket_limits.push_back(out.min + width * static_cast<double>(i));
  out.bucket_limits.push_back(out.max);
  for (const double value : values)
    if (std::isfinite(value))
      ++out.buckets[static_cast<size_t>(
          std::lower_bound(out.bucket_limits.begin(), out.bucket_limits.end() - 1, value) - out.bucket_limits.begin())];
  return out;
}

EventFileWriter::EventFileWriter(const std::filesystem::path& folder, EventFileOptions options)
    : options_(std::move(options)) {
  if (!options_.wall_time_s) options_.wall_time_s = system_seconds;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check<Error>(!error, "[event_file] expected a folder to write to, got ", error.message(), ": ",
               printable(folder.native(), 400));
  const std::string stem =
      join("events.out.tfevents.", static_cast<int64_t>(options_.wall_time_s()), ".", host_name(), ".", ::getpid());
  for (int64_t number = 0; fd_ < 0; ++number) {
    path_ = folder / (stem + "." + std::to_string(number) + options_.suffix);
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    check<Error>(fd_ >= 0 || errno == EEXIST, "[event_file] expected a file to write to, got ", std::strerror(errno),
                 ": ", printable(path_.native(), 400));
  }
  write({.wall_time_s = options_.wall_time_s(), .file_version = "brain.Event:2"});
}

EventFileWriter::~EventFileWriter() { ::close(fd_); }

void EventFileWriter::write(const Event& event) { write_all(fd_, as_byte_span(event_record(event)), path_); }

void EventFileWriter::scalar(std::string_view tag, int64_t step, double value) {
  write({.wall_time_s = options_.wall_time_s(),
         .step = step,
         .values = {{to_utf8(tag), EventScalar{static_cast<float>(value)}}}});
}

void EventFileWriter::image(std::string_view tag, int64_t step, const EventImage& image) {
  write({.wall_time_s = options_.wall_time_s(), .step = step, .values = {{to_utf8(tag), image}}});
}

void EventFileWriter::text(std::string_view tag, int64_t step, std::string_view markdown) {
  write(
      {.wall_time_s = options_.wall_time_s(), .step = step, .values = {{to_utf8(tag), EventText{to_utf8(markdown)}}}});
}

void EventFileWriter::histogram(std::string_view tag, int64_t step, const EventHistogram& histogram) {
  write({.wall_time_s = options_.wall_time_s(), .step = step, .values = {{to_utf8(tag), histogram}}});
}

}  // namespace polyphony::formats
