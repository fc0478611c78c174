// SPDX-License-Identifier: Apache-2.0
// The models that `forward` can run: to add one, write its function in a file here and add a row in forward_table.cpp.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "core/tensor_io.h"

namespace polyphony::pipelines {

struct ForwardInputs {
  std::filesystem::path folder;  // of the model
  nlohmann::json config;         // its config.json
  TensorMap tensors;             // on the device; floating ones in `dtype`
  at::ScalarType dtype;
  at::Device device;
};

struct ForwardRow {
  const char* architecture;
  std::vector<const char*> required;  // input names
  std::vector<const char*> optional;
  const char* inputs;  // for people
  const char* outputs;
  TensorMap (*run)(const ForwardInputs& inputs);
  std::vector<const char*> exact = {};  // floating inputs that keep their precision whatever `dtype` is: times
};

const std::vector<ForwardRow>& forward_table();

TensorMap forward_autoencoder_kl(const ForwardInputs& inputs);
TensorMap forward_dit_moe(const ForwardInputs& inputs);
TensorMap forward_joint(const ForwardInputs& inputs);
TensorMap forward_olmoe(const ForwardInputs& inputs);

}  // namespace polyphony::pipelines
