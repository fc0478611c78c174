// SPDX-License-Identifier: Apache-2.0
// An OLMoE folder of random weights in bf16, to measure memory and tokens a second; by default of the released width.
//   random_olmoe FOLDER [KEY=VALUE]...     keys of config.json, such as num_hidden_layers=4
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/tensor_shards.h"
#include "pipelines/olmoe/published.h"

namespace {

using namespace polyphony;
using namespace polyphony::pipelines;

OlmoeConfig config_of(int argc, char** argv) {
  auto json = nlohmann::json::parse(olmoe_config_json({}));
  for (int i = 2; i < argc; ++i) {
    const auto parts = split(argv[i], '=');
    const auto value = parts.size() == 2 ? parse_integer(parts[1]) : std::nullopt;
    check<UsageError>(value && json.contains(parts[0]),
                      "[random_olmoe] expected KEY=VALUE with a key of config.json, got ", argv[i]);
    json[parts[0]] = *value;
  }
  json["eos_token_id"] = nullptr;  // a random model's text has no end
  return parse_olmoe_config(json, "random_olmoe").config;
}

// Normal with the deviation that keeps activations of one size from layer to layer; norms are ones.
TensorMap random_values(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dim() == 1) {
      tensor.fill_(1);
    } else {
      tensor.normal_(0, 1 / std::sqrt(static_cast<double>(tensor.size(-1))));
    }
  }
  return tensors;
}

void make(const OlmoeConfig& config, const char* folder) {
  at::manual_seed(0);
  std::filesystem::create_directories(folder);
  ShardWriter shards(folder, config.num_hidden_layers + 1);
  shards.add(random_values(published_ends(empty_olmoe_ends(config, at::kBFloat16))));
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    shards.add(random_values(published_layer(config, empty_olmoe_layer(config, at::kBFloat16), i)));
  shards.finish();
  write_file_atomic(std::filesystem::path(folder) / "config.json", olmoe_config_json(config));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: random_olmoe FOLDER [KEY=VALUE]...\n");
    return static_cast<int>(ExitCode::usage);
  }
  try {
    make(config_of(argc, argv), argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "random_olmoe: error: %s\n", error.what());
    return static_cast<int>(ExitCode::failure);
  }
  return 0;
}
