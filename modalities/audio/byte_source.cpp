// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/byte_source.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace polyphony::audio {

namespace {

constexpr int kBufferBytes = 32 << 10;

}  // namespace

ByteSource ByteSource::of_file(const std::filesystem::path& path) {
  ByteSource source;
  source.name_ = path.string();
  check<DataError>(source.name_.find("://") == std::string::npos,
                   "[audio] expected a local file, got an address: ", printable(source.name_));
  source.file_.emplace(InputFile::open(path));
  return source;
}

ByteSource ByteSource::of_bytes(std::span<const std::byte> bytes) {
  ByteSource source;
  source.bytes_ = bytes;
  return source;
}

void ByteSource::copy(uint64_t offset, std::span<std::byte> out) const {
  if (file_) {
    file_->read_at(offset, out);
  } else {
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
  }
}

int ByteSource::read(void* self, uint8_t* buffer, int size) {
  auto& source = *static_cast<ByteSource*>(self);
  if (source.stopped_()) return AVERROR_EXIT;
  if (size <= 0 || source.position_ >= source.size()) return AVERROR_EOF;
  const auto count = std::min<uint64_t>(static_cast<uint64_t>(size), source.size() - source.position_);
  try {
    source.copy(source.position_, {reinterpret_cast<std::byte*>(buffer), static_cast<size_t>(count)});
  } catch (const Error& e) {  // an exception must not pass through C: kept for the caller, who throws it
    source.failure_ = e.what();
    return AVERROR(EIO);
  }
  source.position_ += count;
  return static_cast<int>(count);
}

int64_t ByteSource::seek(void* self, int64_t offset, int whence) {
  auto& source = *static_cast<ByteSource*>(self);
  const auto size = static_cast<int64_t>(source.size());
  if ((whence & AVSEEK_SIZE) != 0) return size;
  const int origin = whence & ~AVSEEK_FORCE;
  const int64_t base = origin == SEEK_CUR ? static_cast<int64_t>(source.position_) : origin == SEEK_END ? size : 0;
  int64_t target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return AVERROR(EINVAL);
  source.position_ = static_cast<uint64_t>(target);
  return target;
}

AvioPtr ByteSource::make_context(std::function<bool()> stopped) {
  stopped_ = std::move(stopped);
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferBytes));
  check<MemoryError>(buffer != nullptr, "[audio] expected ", kBufferBytes, " bytes of memory");
  AVIOContext* io =
      avio_alloc_context(buffer, kBufferBytes, /*write_flag=*/0, this, &ByteSource::read, nullptr, &ByteSource::seek);
  if (io == nullptr) {
    av_free(buffer);
    fail<MemoryError>("[audio] expected memory for an input context");
  }
  return AvioPtr(io);
}

}  // namespace polyphony::audio
