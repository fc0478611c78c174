// SPDX-License-Identifier: Apache-2.0
// What a model folder, weights file or picture holds. Every byte of the weights is read and checked. No LibTorch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct DtypeShare {
  std::string dtype;  // "F32", "BF16", ...
  int64_t tensors = 0;
  int64_t parameters = 0;
};

enum class InspectedKind { model, pipeline, weights, picture };

struct Inspection {
  std::string path;
  InspectedKind kind = InspectedKind::weights;
  std::string architecture;  // config.json's _class_name, architectures[0] or model_type; empty if unknown

  // Weights, those of the parts included.
  int64_t files = 0;
  int64_t tensors = 0;
  int64_t parameters_total = 0;
  int64_t parameters_active = 0;  // that one token passes through: experts count by the share that is chosen
  uint64_t memory_bytes = 0;      // of the weights, in their own format
  int64_t non_finite = 0;         // values that are NaN or infinite
  std::vector<DtypeShare> dtypes;

  // A picture.
  int64_t width = 0;
  int64_t height = 0;
  std::string parameters;       // the `parameters` text of other programs
  std::string parameters_json;  // our own

  std::vector<std::string> warnings;
  std::vector<Inspection> parts;  // models inside a model or pipeline folder; path is the part's name
};

// Throws DataError naming the file and what is wrong with it.
Inspection inspect(const std::filesystem::path& path);

std::string to_json(const Inspection& inspection);  // schema "polyphony.inspect/1"
std::string to_text(const Inspection& inspection);  // lines for people

}  // namespace polyphony::pipelines
