// SPDX-License-Identifier: Apache-2.0
// Guided steps of a DiT-MoE as a session takes them: our side of the cases dit_moe_*/step.
//   dit_step_bench FOLDER [THREADS [DTYPE]]   (default 2 bfloat16); a folder that random_dit_moe made
// input SEED STEPS FILE   noise (1, C, H, W), and what else a rectified flow with guidance needs
// run IN OUT|-            milliseconds a step: from the request to the end of its last step, decoding not counted
#include <ATen/ATen.h>

#include <cstdlib>

#include "bench/measure.h"
#include "bench/serve.h"
#include "pipelines/dit_moe/sampler.h"
#include "pipelines/session.h"

namespace polyphony::bench {
namespace {

using namespace polyphony::pipelines;

constexpr int64_t kLabel = 207;
constexpr double kGuidance = 4.0;

nlohmann::json make_input(const Words& words) {
  const uint64_t seed = std::stoull(words.at(0));
  const DitMoeSampling sampling{.guidance = {.y_N = at::full({1}, kLabel, at::kLong)}, .seed = seed};
  save_tensors(words.at(2), {{"noise", starting_noise(DitMoeConfig{}, sampling)},
                             {"seed", at::scalar_tensor(static_cast<int64_t>(seed), at::kLong)},
                             {"steps", at::scalar_tensor(std::stoll(words.at(1)), at::kLong)},
                             {"label", at::scalar_tensor(kLabel, at::kLong)},
                             {"guidance", at::scalar_tensor(kGuidance, at::kFloat)}});
  return {{"seed", seed}};
}

nlohmann::json run(Session& session, const Words& words) {
  const auto input = load_tensors(words.at(0));
  const int64_t steps = input.at("steps").item<int64_t>();
  GenerateRequest request{.class_label = std::to_string(kLabel)};
  request.seed = static_cast<uint64_t>(input.at("seed").item<int64_t>());
  request.steps = steps;
  request.guidance = kGuidance;
  request.sampler = "euler";
  const bool keep = words.at(1) != "-";
  double ms = 0;
  const Stopwatch watch;
  const auto result = session.generate(request, [&](const Progress& progress) {
    if (progress.done < steps) return true;
    ms = watch.milliseconds();
    return keep;  // without a picture to keep there is nothing to decode
  });
  if (keep) save_tensors(words.at(1), {{"latents", at::tensor(result->latents.values).reshape(result->latents.shape)}});
  return {{"values", {ms / static_cast<double>(steps)}}};
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony::bench;
  if (argc < 2) {
    std::cerr << "usage: dit_step_bench FOLDER [THREADS [DTYPE]]\n";
    return 2;
  }
  const auto session = polyphony::pipelines::open_session({.model_folder = argv[1],
                                                           .device = "cpu",
                                                           .dtype = argc > 3 ? argv[3] : "bfloat16",
                                                           .threads = argc > 2 ? std::max(1, std::atoi(argv[2])) : 2});
  serve({{"ready", true}}, {{"input", &make_input}, {"run", [&](const Words& words) { return run(*session, words); }}});
}
