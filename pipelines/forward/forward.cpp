// SPDX-License-Identifier: Apache-2.0
// Reads, checks names against the table, runs without gradients, writes.
#include "pipelines/forward/forward.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/device.h"
#include "core/formats/strict_json.h"
#include "pipelines/forward/forward_table.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr uint64_t kMaxConfigBytes = 16u << 20;

const ForwardRow& find_row(const nlohmann::json& config, const std::string& file) {
  std::vector<std::string> names;
  for (const auto& row : forward_table()) {
    names.push_back(row.architecture);
    for (const auto* key : {"_class_name", "model_type"})
      if (const auto it = config.find(key); it != config.end() && it->is_string() && *it == row.architecture)
        return row;
  }
  const auto asked =
      config.contains("_class_name") ? config["_class_name"] : config.value("model_type", nlohmann::json());
  fail<DataError>("[", printable(file), "] expected a model out of ", join_names(names), ", got ",
                  asked.is_null() ? "none (no _class_name or model_type)" : printable(dump_json(asked), 80));
}

void check_names(const ForwardRow& row, const TensorMap& tensors, const std::string& file) {
  std::vector<std::string> known(row.required.begin(), row.required.end());
  for (const auto& name : known)
    check<DataError>(tensors.contains(name), "[", printable(file), "] the input '", name, "' is missing; ",
                     row.architecture, " takes ", row.inputs);
  known.insert(known.end(), row.optional.begin(), row.optional.end());
  for (const auto& [name, tensor] : tensors)
    check<DataError>(std::find(known.begin(), known.end(), name) != known.end(), "[", printable(file),
                     "] unknown input '", printable(name, 80), "'", did_you_mean(name, known), "; ", row.architecture,
                     " takes ", row.inputs);
}

std::vector<ForwardTensor> describe(const TensorMap& tensors) {
  std::vector<ForwardTensor> out;
  for (const auto& [name, tensor] : tensors)
    out.push_back({name, tensor.sizes().vec(), std::string(formats::dtype_name(to_file_dtype(tensor.scalar_type())))});
  return out;
}

nlohmann::json to_object(const std::vector<ForwardTensor>& tensors) {
  auto out = nlohmann::json::object();
  for (const auto& tensor : tensors) out[tensor.name] = {{"shape", tensor.shape}, {"dtype", tensor.dtype}};
  return out;
}

}  // namespace

std::vector<ForwardKind> forward_kinds() {
  std::vector<ForwardKind> out;
  for (const auto& row : forward_table()) out.push_back({row.architecture, row.inputs, row.outputs});
  return out;
}

ForwardReport run_forward(const ForwardOptions& options) {
  const std::filesystem::path folder = options.model;
  const bool whole_pipeline = std::filesystem::exists(folder / "model_index.json");  // its transformer is meant
  const auto config_file = (whole_pipeline ? folder / "transformer" : folder) / "config.json";
  const auto config = formats::parse_strict_json(read_file(config_file, kMaxConfigBytes), config_file.string());
  check<DataError>(config.is_object(), "[", config_file.string(), "] expected a JSON object, got ", config.type_name());
  const auto& row = find_row(config, config_file.string());
  auto tensors = load_tensors(options.input);
  check_names(row, tensors, options.input);
  ForwardReport report{.architecture = row.architecture, .inputs = describe(tensors), .outputs = {}};

  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const auto device = parse_device(options.device);
  const auto dtype = options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  for (auto& [name, tensor] : tensors) {
    const bool exact = std::find(row.exact.begin(), row.exact.end(), name) != row.exact.end();
    tensor = tensor.to(device, tensor.is_floating_point() && !exact ? dtype : tensor.scalar_type());
  }
  const c10::InferenceMode no_gradients;
  const auto start = std::chrono::steady_clock::now();
  const auto outputs = row.run({options.model, config, tensors, dtype, device});
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.outputs = describe(outputs);
  save_tensors(options.output, outputs);
  return report;
}

std::string to_json(const ForwardReport& report) {
  return dump_json({{"schema", "polyphony.forward/1"},
                    {"architecture", report.architecture},
                    {"inputs", to_object(report.inputs)},
                    {"outputs", to_object(report.outputs)},
                    {"seconds", report.seconds}});
}

}  // namespace polyphony::pipelines
