// SPDX-License-Identifier: Apache-2.0
// One pass of a model over named tensors from a file, so that it can be compared with another implementation.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct ForwardOptions {
  std::string model;              // folder with config.json and weights
  std::string input;              // safetensors file
  std::string output;             // safetensors file, written all or nothing
  std::string dtype = "float32";  // float32 | bfloat16: of weights and floating inputs
  std::string device = "auto";
  int64_t threads = 0;  // 0: as many as the process may use
};

struct ForwardTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype;
};

struct ForwardReport {
  std::string architecture;
  std::vector<ForwardTensor> inputs;
  std::vector<ForwardTensor> outputs;
  double seconds = 0;  // of the pass alone
};

// What a supported model takes and gives.
struct ForwardKind {
  std::string architecture;  // config.json's _class_name or model_type
  std::string inputs;        // for people: names and shapes
  std::string outputs;
};
std::vector<ForwardKind> forward_kinds();

// Throws DataError for a model that is not supported and for inputs that are missing, unknown or ill-shaped, by name.
ForwardReport run_forward(const ForwardOptions& options);
std::string to_json(const ForwardReport& report);  // schema "polyphony.forward/1"

}  // namespace polyphony::pipelines
