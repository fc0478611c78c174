// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/eval_files.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/check.h"
#include "modalities/image/encode.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace {

at::Tensor enlarged(const at::Tensor& pictures_BHWC, int64_t times) {
  return pictures_BHWC.repeat_interleave(times, 1).repeat_interleave(times, 2);
}

}  // namespace

void write_eval_samples(const EvalSamples& samples, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_file_atomic(folder / "sheet.png", image::encode_png(contact_sheet(enlarged(samples.drawn_BHWC, 4), 8)));
  std::string prompts;
  for (const auto& prompt : samples.prompts) prompts += prompt + "\n";
  write_file_atomic(folder / "prompts.txt", prompts);

  std::string reasons;
  std::vector<at::Tensor> pairs;
  for (const auto& failure : samples.failures) {
    reasons += join(pairs.size() / 2 + 1, ". scene ", failure.index, ": ", failure.prompt, "\n");
    for (const auto& why : failure.why) reasons += "   " + why + "\n";
    pairs.push_back(failure.truth_HWC);
    pairs.push_back(failure.drawn_HWC);
  }
  if (!pairs.empty())
    write_file_atomic(folder / "failures.png", image::encode_png(contact_sheet(enlarged(at::stack(pairs), 2), 8)));
  write_file_atomic(folder / "failures.txt", reasons);
  const nlohmann::json metrics{{"schema", "polyphony.eval_metrics/1"},
                               {"pictures", scenes::to_json(samples.pictures)},
                               {"captions", scenes::to_json(samples.captions)},
                               {"autoencoder", scenes::to_json(samples.autoencoder)}};
  write_file_atomic(folder / "metrics.json", metrics.dump(2) + "\n");
}

}  // namespace polyphony::pipelines
