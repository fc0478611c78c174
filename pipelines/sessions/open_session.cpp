// SPDX-License-Identifier: Apache-2.0
// A model folder to the session of its kind.
#include <ATen/Parallel.h>

#include <array>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/device.h"
#include "core/formats/safetensors_index.h"
#include "core/formats/strict_json.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/joint/folder.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/sessions/sessions.h"
#include "pipelines/torch_errors.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxConfigBytes = 16u << 20;
constexpr uint64_t kPieces = 64, kPieceBytes = 1u << 20;

struct SessionRow {
  const char* model_type;
  std::unique_ptr<Session> (*open)(const SessionOptions& options, const fs::path& folder);
};
constexpr std::array<SessionRow, 3> kSessions = {{
    {kJointModelType, &open_joint_session},
    {kDitMoeModelType, &open_dit_moe_session},
    {kDitMoeClassName, &open_dit_moe_session},
}};

std::string fingerprint(const fs::path& weights) {
  if (weights.extension() == ".json") {  // of a sharded model: its files one after another
    std::string digests;
    const auto set = formats::SafetensorsSet::open(weights);
    for (const auto& shard : set.files()) digests += fingerprint(shard.path());
    return sha256_hex(as_byte_span(digests));
  }
  const auto file = InputFile::open(weights);
  if (file.size() <= kPieces * kPieceBytes) return sha256_file(weights);
  Sha256 digest;
  digest.update(as_byte_span(std::to_string(file.size())));
  std::vector<std::byte> piece(kPieceBytes);
  for (uint64_t i = 0; i < kPieces; ++i) {
    file.read_at((file.size() - kPieceBytes) / (kPieces - 1) * i, piece);
    digest.update(piece);
  }
  return digest.hex_digest();
}

// Of the model's config.json, or of the transformer's in a diffusers folder.
std::string model_type_of(const fs::path& folder) {
  const auto file = (fs::exists(folder / "model_index.json") ? folder / "transformer" : folder) / "config.json";
  const auto config = formats::parse_strict_json(read_file(file, kMaxConfigBytes), file.string());
  ObjectReader reader(config, file.string());
  if (const auto name = reader.text("_class_name")) return *name;
  const auto type = reader.text("model_type");
  check<DataError>(type.has_value(), "[", file.string(), "] expected 'model_type' or '_class_name', got neither");
  return *type;
}

}  // namespace

OneThread::OneThread() : before_(at::get_num_threads()) { at::set_num_threads(1); }
OneThread::~OneThread() { at::set_num_threads(before_); }

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

RgbImage image_from(const at::Tensor& bytes_HWC) {
  const auto bytes = bytes_HWC.contiguous();
  RgbImage out{.width = bytes.size(1), .height = bytes.size(0)};
  out.pixels.assign(bytes.const_data_ptr<uint8_t>(), bytes.const_data_ptr<uint8_t>() + bytes.numel());
  return out;
}

std::string model_name(const fs::path& folder, const fs::path& weights) {
  const auto whole = folder.filename().empty() ? folder.parent_path() : folder;
  return join(whole.filename().string(), " ", fingerprint(weights).substr(0, 8));
}

std::unique_ptr<Session> open_session(const SessionOptions& options) {
  const fs::path folder = options.model_folder.empty() ? default_model_folder() : options.model_folder;
  std::error_code unreadable;
  check<DataError>(fs::is_directory(folder, unreadable), "[session] there is no model folder ", folder.string());
  const auto device = parse_device(options.device);
  check<DeviceError>(device.is_cpu(), "[session] this model runs on the cpu so far, got device '", options.device, "'");
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const auto type = [&] {
    try {
      return model_type_of(folder);
    } catch (const fs::filesystem_error& error) {
      fail<DataError>("[", error.path1().string(), "] ", error.code().message());
    }
  }();
  std::vector<std::string> known;
  for (const auto& row : kSessions) {
    if (type == row.model_type) return translate_torch_errors([&] { return row.open(options, folder); });
    known.emplace_back(row.model_type);
  }
  fail<DataError>("[", folder.string(), "] expected a model out of ", join_names(known), ", got '", printable(type, 60),
                  "'");
}

}  // namespace polyphony::pipelines
