// SPDX-License-Identifier: Apache-2.0
// Decoding of latents to a picture as the DiT-MoE pipeline does it: our side of the case vae_decode/256.
//   vae_decode_bench FOLDER [THREADS [DTYPE]]   (default 2 bfloat16); a folder that random_dit_moe made
// input SEED FILE   latents (1, 4, 32, 32), scaled
// run IN OUT|-      milliseconds; OUT: pixels, not clamped
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdlib>

#include "bench/measure.h"
#include "bench/serve.h"
#include "core/rng.h"
#include "pipelines/dit_moe/pipeline.h"

namespace polyphony::bench {
namespace {

using namespace polyphony::pipelines;

nlohmann::json make_input(const Words& words) {
  auto generator = make_generator(std::stoull(words.at(0)));
  save_tensors(words.at(1), {{"latents", at::randn({1, 4, 32, 32}, generator)}});
  return {{"seed", words.at(0)}};
}

nlohmann::json run(const DitMoePipeline& pipeline, const Words& words) {
  const auto latents = load_tensors(words.at(0)).at("latents");
  at::Tensor pixels;
  const double ms = milliseconds([&] { pixels = pixels_of(pipeline, latents); });
  if (words.at(1) != "-") save_tensors(words.at(1), {{"pixels", pixels.to(at::kFloat)}});
  return {{"values", {ms}}};
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony::bench;
  if (argc < 2) {
    std::cerr << "usage: vae_decode_bench FOLDER [THREADS [DTYPE]]\n";
    return 2;
  }
  at::set_num_threads(argc > 2 ? std::max(1, std::atoi(argv[2])) : 2);
  const bool wide = argc > 3 && std::string(argv[3]) == "float32";
  const auto pipeline = polyphony::pipelines::load_dit_moe_pipeline(argv[1], wide ? at::kFloat : at::kBFloat16);
  pipeline.autoencoder->use_channels_last();
  serve({{"ready", true}}, {{"input", &make_input}, {"run", [&](const Words& words) { return run(pipeline, words); }}});
}
