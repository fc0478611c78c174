// SPDX-License-Identifier: Apache-2.0
// A DiT-MoE of random weights with an autoencoder of Stable Diffusion's size, to measure time and memory of generate.
//   random_dit_moe PRESET FOLDER
#include <ATen/ATen.h>

#include <cstdio>

#include "core/error.h"
#include "pipelines/dit_moe/pipeline.h"

namespace {

using namespace polyphony;
using namespace polyphony::pipelines;

// Uniform with the deviation that keeps activations of one size from layer to layer.
void randomise(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) {
    const double fan_in = parameter.dim() > 1 ? static_cast<double>(parameter[0].numel()) : 100.0;
    const double bound = std::sqrt(3.0 / fan_in);
    parameter.uniform_(-bound, bound);
  }
}

void make(const char* preset, const char* folder) {
  at::manual_seed(0);
  DitMoePipeline pipeline{.model = std::make_shared<DitMoe>(dit_moe_preset(preset)),
                          .mode = DitMoeMode::rectified_flow};
  randomise(*pipeline.model);
  pipeline.autoencoder = std::make_shared<latent::AutoencoderKL>(
      latent::AutoencoderConfig{.block_out_channels = {128, 256, 512, 512}, .layers_per_block = 2, .sample_size = 256});
  save_dit_moe_pipeline(pipeline, folder);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: random_dit_moe PRESET FOLDER\n");
    return static_cast<int>(ExitCode::usage);
  }
  try {
    make(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "random_dit_moe: error: %s\n", error.what());
    return static_cast<int>(ExitCode::failure);
  }
  return 0;
}
