// SPDX-License-Identifier: Apache-2.0
// Reading of event files.
#include <cstring>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/crc32c.h"
#include "core/formats/event_file.h"
#include "core/formats/protobuf_wire.h"

namespace polyphony::formats {

namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

std::vector<double> unpack(std::string_view bytes) {
  check<DataError>(bytes.size() % 8 == 0, "[event_file] expected packed numbers of 8 bytes, got ", bytes.size(),
                   " bytes");
  std::vector<double> out(bytes.size() / 8);
  for (size_t i = 0; i < out.size(); ++i) {
    const uint64_t bits = from_little_endian(bytes.substr(8 * i), 8);
    std::memcpy(&out[i], &bits, sizeof(bits));
  }
  return out;
}

EventImage parse_image(std::string_view message) {
  EventImage image;
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == 1) image.height = static_cast<int64_t>(field.varint);
    if (field.number == 2) image.width = static_cast<int64_t>(field.varint);
    if (field.number == 4) image.png = field.bytes;
  }
  return image;
}

EventHistogram parse_histogram(std::string_view message) {
  EventHistogram histogram;
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    switch (field.number) {
      case 1:
        histogram.min = field.fixed64;
        break;
      case 2:
        histogram.max = field.fixed64;
        break;
      case 3:
        histogram.num = field.fixed64;
        break;
      case 4:
        histogram.sum = field.fixed64;
        break;
      case 5:
        histogram.sum_squares = field.fixed64;
        break;
      case 6:
        histogram.bucket_limits = unpack(field.bytes);
        break;
      case 7:
        histogram.buckets = unpack(field.bytes);
        break;
      default:
        break;  // fields of later versions
    }
  }
  return histogram;
}

// A string tensor: the first of its strings.
EventText parse_text(std::string_view message) {
  WireReader reader(message);
  for (WireField field; reader.next(field);)
    if (field.number == 8) return {std::string(field.bytes)};
  return {};
}

EventValue parse_value(std::string_view message) {
  EventValue value;
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == 1) value.tag = field.bytes;
    if (field.number == 2) value.value = EventScalar{field.fixed32};
    if (field.number == 4) value.value = parse_image(field.bytes);
    if (field.number == 5) value.value = parse_histogram(field.bytes);
    if (field.number == 8) value.value = parse_text(field.bytes);
  }
  return value;
}

Event parse_event(std::string_view message) {
  Event event;
  WireReader reader(message);
  for (WireField field; reader.next(field);) {
    if (field.number == 1) event.wall_time_s = field.fixed64;
    if (field.number == 2) event.step = static_cast<int64_t>(field.varint);
    if (field.number == 3) event.file_version = field.bytes;
    if (field.number != 5) continue;
    WireReader summary(field.bytes);
    for (WireField item; summary.next(item);)
      if (item.number == 1) event.values.push_back(parse_value(item.bytes));
  }
  return event;
}

}  // namespace

EventFile parse_event_file(std::string_view bytes, std::string_view name) {
  constexpr size_t kHead = 12, kTail = 4;
  EventFile file;
  for (size_t at = 0; at < bytes.size();) {
    const std::string where = join("[", printable(name, 400), "] record at byte ", at);
    const auto rest = bytes.substr(at);
    if (rest.size() < kHead) {
      file.torn = true;
      break;
    }
    const auto sum_of = [](std::string_view from) { return static_cast<uint32_t>(from_little_endian(from, 4)); };
    check<DataError>(sum_of(rest.substr(8)) == masked_crc32c(rest.substr(0, 8)), where,
                     ": expected the checksum of its length, got another");
    const uint64_t length = from_little_endian(rest, 8);
    if (length > rest.size() - kHead || rest.size() - kHead - length < kTail) {
      file.torn = true;
      break;
    }
    const auto message = rest.substr(kHead, length);
    check<DataError>(sum_of(rest.substr(kHead + length)) == masked_crc32c(message), where,
                     ": expected the checksum of its bytes, got another");
    file.events.push_back(parse_event(message));
    at += kHead + length + kTail;
  }
  check<DataError>(!file.events.empty() && file.events.front().file_version == "brain.Event:2", "[",
                   printable(name, 400), "] expected an event file that begins with brain.Event:2");
  return file;
}

EventFile read_event_file(const std::filesystem::path& path) {
  return parse_event_file(read_file(path, kMaxFileBytes), path.native());
}

}  // namespace polyphony::formats
