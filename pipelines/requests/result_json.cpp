// SPDX-License-Identifier: Apache-2.0
// The JSON form of what a session, a training run and an evaluation give back.
#include "pipelines/eval/eval.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/session.h"
#include "pipelines/train/train.h"

namespace polyphony::pipelines {

std::string to_json(const GenerateResult& result) {
  auto pictures = nlohmann::json::array();
  for (const auto& picture : result.pictures)
    pictures.push_back({{"seed", picture.seed}, {"width", picture.image.width}, {"height", picture.image.height}});
  return dump_json({{"schema", kGenerateSchema},
                    {"request", nlohmann::json::parse(to_json(result.used))},
                    {"pictures", pictures},
                    {"seconds", result.seconds},
                    {"seconds_per_step", result.seconds_per_step},
                    {"model", result.model},
                    {"device", result.device},
                    {"dtype", result.dtype},
                    {"warnings", result.warnings}});
}

std::string to_json(const CaptionResult& result) {
  return dump_json({{"schema", kCaptionSchema},
                    {"file", result.file},
                    {"caption", result.text},
                    {"confidence", result.confidence},
                    {"tokens", result.tokens},
                    {"seconds", result.seconds},
                    {"model", result.model},
                    {"device", result.device},
                    {"dtype", result.dtype},
                    {"warnings", result.warnings}});
}

std::string to_json(const ModelDescription& description) {
  auto classes = nlohmann::json::object();
  for (const auto& [id, name] : description.classes) classes[std::to_string(id)] = name;
  return dump_json({{"schema", "polyphony.model/1"},
                    {"name", description.name},
                    {"folder", description.folder},
                    {"model_type", description.model_type},
                    {"parameters_total", description.parameters_total},
                    {"parameters_active", description.parameters_active},
                    {"device", description.device},
                    {"dtype", description.dtype},
                    {"picture_width", description.picture_width},
                    {"picture_height", description.picture_height},
                    {"default_steps", description.default_steps},
                    {"default_guidance", description.default_guidance},
                    {"can_generate", description.can_generate},
                    {"can_caption", description.can_caption},
                    {"example_prompt", description.example_prompt},
                    {"num_classes", description.num_classes},
                    {"classes", classes}});
}

std::string to_json(const TrainResult& result) {
  return dump_json({{"schema", "polyphony.train/1"},
                    {"stopped", result.stopped},
                    {"steps", result.steps},
                    {"final_loss", result.final_loss},
                    {"seconds", result.seconds},
                    {"output", result.output},
                    {"checkpoint", result.checkpoint},
                    {"model_folder", result.model_folder},
                    {"parameters_total", result.parameters_total},
                    {"parameters_active", result.parameters_active},
                    {"notes", result.notes}});
}

std::string to_json(const EvalReport& report) {
  return dump_json({{"schema", "polyphony.eval/1"},
                    {"count", report.count},
                    {"seed", report.seed},
                    {"caption_exact", report.caption_exact},
                    {"picture_right", report.picture_right},
                    {"picture_right_sizes", report.picture_right_sizes},
                    {"background_right", report.background_right},
                    {"seconds", report.seconds},
                    {"seconds_generate", report.seconds_generate},
                    {"seconds_caption", report.seconds_caption},
                    {"model", report.model},
                    {"device", report.device},
                    {"dtype", report.dtype},
                    {"steps", report.steps},
                    {"guidance", report.guidance},
                    {"notes", report.notes}});
}

}  // namespace polyphony::pipelines
