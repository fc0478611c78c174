// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/scheduler.h"

#include <array>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/strict_json.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr uint64_t kMaxConfigBytes = 1 << 20;
constexpr int64_t kSteps = 1000;
constexpr std::array<std::pair<const char*, DitMoeMode>, 5> kSchedulers = {{
    {"DDIMScheduler", DitMoeMode::ddpm},
    {"DDPMScheduler", DitMoeMode::ddpm},
    {"DPMSolverMultistepScheduler", DitMoeMode::ddpm},
    {"DiTMoEFlowMatchScheduler", DitMoeMode::rectified_flow},
    {"FlowMatchEulerDiscreteScheduler", DitMoeMode::rectified_flow},
}};
constexpr double kFirstBeta = 1e-4, kLastBeta = 0.02;

// Keys of DDPM schedulers that change what is sampled, with the one value that a DiT-MoE was trained with.
void check_ddpm(ObjectReader& reader, const nlohmann::json& json, const std::string& source) {
  const auto need = [&](const char* key, const auto& found, const auto& wanted) {
    check<DataError>(!found || *found == wanted, "[", source, "] a DiT-MoE needs ", key, " ", wanted, ", got ",
                     found.value_or(wanted));
  };
  check<DataError>(json.value("trained_betas", nlohmann::json()).is_null(), "[", source,
                   "] a DiT-MoE needs linear betas, got trained_betas");
  for (const char* key : {"rescale_betas_zero_snr", "thresholding", "clip_sample"})
    check<DataError>(!reader.flag(key).value_or(false), "[", source, "] a DiT-MoE needs ", key, " false, got true");
  need("num_train_timesteps", reader.integer("num_train_timesteps"), kSteps);
  need("beta_start", reader.number("beta_start"), kFirstBeta);
  need("beta_end", reader.number("beta_end"), kLastBeta);
  need("beta_schedule", reader.text("beta_schedule"), std::string("linear"));
  need("prediction_type", reader.text("prediction_type"), std::string("epsilon"));
}

void check_flow(ObjectReader& reader, const std::string& source) {
  const auto path = reader.text("path_type").value_or("linear");
  check<DataError>(path == "linear", "[", source, "] a DiT-MoE needs path_type linear, got '", printable(path, 40),
                   "'");
  for (const char* key : {"use_dynamic_shifting", "stochastic_sampling"})
    check<DataError>(!reader.flag(key).value_or(false), "[", source, "] a DiT-MoE needs ", key, " false, got true");
  const double shift = reader.number("shift").value_or(1);
  check<DataError>(shift == 1, "[", source, "] a DiT-MoE needs shift 1, got ", shift);
}

}  // namespace

ReadScheduler read_scheduler(const std::filesystem::path& file) {
  const auto source = file.string();
  const auto json = formats::parse_strict_json(read_file(file, kMaxConfigBytes), source);
  ObjectReader reader(json, source);
  const auto name = reader.text("_class_name");
  check<DataError>(name.has_value(), "[", source, "] '_class_name' is missing");
  std::vector<std::string> known;
  for (const auto& [class_name, mode] : kSchedulers) {
    known.emplace_back(class_name);
    if (*name != class_name) continue;
    mode == DitMoeMode::ddpm ? check_ddpm(reader, json, source) : check_flow(reader, source);
    return {mode, class_name};
  }
  fail<DataError>("[", source, "] expected a scheduler out of ", join_names(known), "; got '", printable(*name, 60),
                  "'", did_you_mean(*name, known));
}

std::string scheduler_name(DitMoeMode mode) {
  return mode == DitMoeMode::ddpm ? "DDIMScheduler" : "DiTMoEFlowMatchScheduler";
}

std::string scheduler_json(DitMoeMode mode) {
  nlohmann::ordered_json json = {{"_class_name", scheduler_name(mode)}, {"num_train_timesteps", kSteps}};
  if (mode == DitMoeMode::ddpm)
    json.update({{"beta_start", kFirstBeta},
                 {"beta_end", kLastBeta},
                 {"beta_schedule", "linear"},
                 {"clip_sample", false},
                 {"prediction_type", "epsilon"},
                 {"set_alpha_to_one", true},
                 {"steps_offset", 0}});
  else
    json.update({{"mode", "ode"}, {"path_type", "linear"}});
  return json.dump(2) + "\n";
}

}  // namespace polyphony::pipelines
