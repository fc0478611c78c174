// SPDX-License-Identifier: Apache-2.0
// A language model of the OLMoE family reading a text at once and writing token
// by token: our side of the cases model_prefill and model_decode.
//   olmoe_bench FOLDER [THREADS [FORMAT]]   (default 2 bf16); FORMAT: f32 |
//   bf16 | int8 | int4
// input READ WRITTEN SEED FILE        ids (READ) to read at once, next (WRITTEN) to read one by one
// prefill IN OUT|-, decode IN OUT|-   tokens a second, of each repetition; OUT: the logits after the last token
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <cstdlib>

#include "bench/measure.h"
#include "bench/serve.h"
#include "core/rng.h"
#include "pipelines/olmoe/folder.h"

namespace polyphony::bench {
namespace {

using namespace polyphony::pipelines;

nlohmann::json make_input(const OlmoeModel& model, const Words& words) {
  auto generator = make_generator(std::stoull(words.at(2)));
  const auto drawn = [&](const std::string& count) {
    return at::randint(model.config.vocab_size, {std::stoll(count)}, generator, at::kLong);
  };
  save_tensors(words.at(3), {{"ids", drawn(words.at(0))}, {"next", drawn(words.at(1))}});
  return {{"seed", words.at(2)}};
}

nlohmann::json told(const std::vector<double>& rates, const at::Tensor& logits_1V, const std::string& file) {
  if (file != "-") save_tensors(file, {{"logits", logits_1V.flatten()}});
  return {{"values", rates}};
}

nlohmann::json prefill(const OlmoeModel& model, const Words& words) {
  const c10::InferenceMode inference;
  const auto ids_T = load_tensors(words.at(0)).at("ids");
  OlmoeCache cache;
  at::Tensor logits;
  const double ms = milliseconds([&] { logits = forward(model, ids_T, cache, OlmoeLogits::last); });
  return told({1e3 * static_cast<double>(ids_T.size(0)) / ms}, logits, words.at(1));
}

nlohmann::json decode(const OlmoeModel& model, const Words& words) {
  const c10::InferenceMode inference;
  const auto input = load_tensors(words.at(0));
  OlmoeCache cache;
  auto logits = forward(model, input.at("ids"), cache, OlmoeLogits::last);
  std::vector<double> rates;
  for (int64_t i = 0; i < input.at("next").size(0); ++i) {
    const auto next = input.at("next").narrow(0, i, 1);
    rates.push_back(1e3 / milliseconds([&] { logits = forward(model, next, cache, OlmoeLogits::last); }));
  }
  return told(rates, logits, words.at(1));
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony;
  using namespace polyphony::bench;
  const std::string name = argc > 3 ? argv[3] : "bf16";
  const auto format = ops::weight_format(name);
  if (argc < 2 || (!format && name != "f32")) {
    std::cerr << "usage: olmoe_bench FOLDER [THREADS [f32|bf16|int8|int4]]\n";
    return 2;
  }
  at::set_num_threads(argc > 2 ? std::max(1, std::atoi(argv[2])) : 2);
  const Stopwatch watch;
  const auto model = pipelines::load_olmoe(std::filesystem::path(argv[1]), format).model;
  serve({{"ready", true}, {"load_ms", watch.milliseconds()}},
        {{"input", [&](const Words& words) { return make_input(model, words); }},
         {"prefill", [&](const Words& words) { return prefill(model, words); }},
         {"decode", [&](const Words& words) { return decode(model, words); }}});
}
