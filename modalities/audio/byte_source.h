// SPDX-License-Identifier: Apache-2.0
// Bytes or a local file as FFmpeg's input, so that FFmpeg itself never opens anything. Internal to modalities/audio.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "core/base/files.h"
#include "modalities/audio/ffmpeg.h"

namespace polyphony::audio {

class ByteSource {
 public:
  // Throws DataError for an address, or anything but a readable regular file.
  static ByteSource of_file(const std::filesystem::path& path);
  // The bytes must outlive the source.
  static ByteSource of_bytes(std::span<const std::byte> bytes);

  uint64_t size() const { return file_ ? file_->size() : bytes_.size(); }
  const std::string& name() const { return name_; }
  // What went wrong below FFmpeg, which can only pass on a number; empty if nothing did.
  const std::string& failure() const { return failure_; }

  // Reads on from the position; `stopped` is asked first. The source must stay where it is while the context lives.
  AvioPtr make_context(std::function<bool()> stopped);

 private:
  ByteSource() = default;
  static int read(void* self, uint8_t* buffer, int size);
  static int64_t seek(void* self, int64_t offset, int whence);
  void copy(uint64_t offset, std::span<std::byte> out) const;

  std::optional<InputFile> file_;
  std::span<const std::byte> bytes_;
  std::string name_ = "bytes";
  std::string failure_;
  std::function<bool()> stopped_;
  uint64_t position_ = 0;
};

}  // namespace polyphony::audio
