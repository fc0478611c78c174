// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/run_log.h"

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/jsonl.h"
#include "core/formats/event_file.h"
#include "core/formats/image_header.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

// Keeps the lines of the steps that the checkpoint holds: a run that was cut off repeats the later ones.
void drop_later_steps(const fs::path& path, int64_t first_step) {
  if (!fs::exists(path)) return;
  std::string kept;
  read_jsonl(path, [&](const nlohmann::json& line, int64_t) {
    if (line.is_object() && line.value("step", int64_t{0}) <= first_step) kept += line.dump() + "\n";
  });
  write_file_atomic(path, kept);
}

}  // namespace

struct RunLog::Files {
  explicit Files(const fs::path& folder) : metrics(folder / "metrics.jsonl"), events(folder / "tensorboard") {}
  JsonlWriter metrics;
  formats::EventFileWriter events;
};

RunLog::RunLog(const fs::path& folder, int64_t first_step) : folder_(folder) {
  drop_later_steps(folder / "metrics.jsonl", first_step);
  files_ = std::make_unique<Files>(folder);
}

RunLog::~RunLog() = default;

void RunLog::scalars(int64_t step, const std::map<std::string, double>& values) {
  nlohmann::ordered_json line = {{"step", step}};
  for (const auto& [name, value] : values) {
    line[name] = value;
    files_->events.scalar(name, step, value);
  }
  files_->metrics.write(line);
}

void RunLog::picture(int64_t step, const std::string& name, const std::string& png) {
  fs::create_directories(folder_ / "samples");
  write_file_atomic(folder_ / "samples" / (name + "-" + std::to_string(step) + ".png"), png);
  const auto header = formats::parse_image_header(as_byte_span(png));
  files_->events.image(name, step, {.png = png, .width = header.width, .height = header.height});
}

}  // namespace polyphony::pipelines
