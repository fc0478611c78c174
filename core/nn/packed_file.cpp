// SPDX-License-Identifier: Apache-2.0
#include "core/nn/packed_file.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {
namespace {

constexpr size_t kHeadBytes = 4096;  // a page, so that matrices begin where a cache line does
constexpr auto kLayout = "polyphony packed weights 1";

std::string head_text(const PackedFileHead& head) {
  auto text = join(kLayout, "\n", head.key, "\n", head.bytes, "\n");
  check<ShapeError>(text.size() <= kHeadBytes, "[packed_file] expected a key of less than ", kHeadBytes, " bytes");
  text.resize(kHeadBytes, '\0');
  return text;
}

}  // namespace

int64_t packed_bytes(const ops::PackedMatrices& shape) { return shape.count * shape.pairs() * shape.pair_bytes(); }

PackedFileWriter::PackedFileWriter(const std::filesystem::path& path, const PackedFileHead& head) : file_(path) {
  file_.write(head_text(head));
}

void PackedFileWriter::add(const ops::PackedMatrices& matrices) {
  const auto steps = matrices.steps.contiguous();
  file_.write(std::as_bytes(std::span(steps.const_data_ptr<uint8_t>(), static_cast<size_t>(steps.numel()))));
}

void PackedFileWriter::commit() { file_.commit(); }

PackedFileReader::PackedFileReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)), at_(kHeadBytes) {}

std::optional<PackedFileReader> PackedFileReader::open(const std::filesystem::path& path, const PackedFileHead& head,
                                                       std::string& problem) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() < kHeadBytes || as_text(bytes.first(kHeadBytes)) != head_text(head)) {
    problem = join("[", path.string(), "] is of other weights or of another version");
  } else if (bytes.size() - kHeadBytes != static_cast<size_t>(head.bytes)) {
    problem = join("[", path.string(), "] expected ", head.bytes + static_cast<int64_t>(kHeadBytes), " bytes, got ",
                   bytes.size());
  } else {
    return PackedFileReader(std::move(file));
  }
  return std::nullopt;
}

ops::PackedMatrices PackedFileReader::next(ops::PackedMatrices shape) {
  const auto bytes = static_cast<size_t>(packed_bytes(shape));
  check<ShapeError>(at_ + bytes <= file_->bytes().size(), "[packed_file] expected no more matrices");
  auto* data = const_cast<std::byte*>(file_->bytes().data() + at_);  // no product writes into its weights
  shape.steps = at::from_blob(
      data, {shape.count, shape.pairs() * shape.pair_bytes()}, [file = file_](void*) {}, at::TensorOptions(at::kByte));
  at_ += bytes;
  return shape;
}

}  // namespace polyphony::nn
