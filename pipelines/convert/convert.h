// SPDX-License-Identifier: Apache-2.0
// `convert`: released weights of other programs to a model folder of ours.
#pragma once
#include <string>
#include <vector>

#include "pipelines/session.h"

namespace polyphony::pipelines {

struct ConvertOptions {
  std::string input = {};   // .pt or .bin of PyTorch, or .safetensors, with DiT-MoE's published tensor names
  std::string preset = {};  // "S/2-8E2A" and so on; or
  std::string config = {};  // a config.json that describes another size
  std::string mode = {};    // "rf" or "ddpm": no file tells how its model was trained
  std::string vae = {};     // a vae/ folder, .safetensors or .bin; empty: none
  std::string labels = {};  // JSON object of class numbers and names; empty: none
  std::string output = {};  // a folder that is not there yet, or is empty
};

struct ConvertReport {
  std::string output = {};
  std::string state_dict = {};  // which of the file's state dicts was taken: "ema", "model", ..., "top level"
  int64_t tensors = 0;
  int64_t parameters = 0;  // of the transformer
  std::vector<std::string> notes = {};
};

// Nothing in the input is executed, and nothing is written unless all of it fits. The size of the latents and the
// number of classes are taken from the tensors where a preset was given. Throws UsageError for options, DataError for
// files that are hostile, incomplete or of another model, MemoryError for a model larger than the machine's memory.
ConvertReport run_convert(const ConvertOptions& options, const OnProgress& on_progress);

std::string to_json(const ConvertReport& report);

}  // namespace polyphony::pipelines
