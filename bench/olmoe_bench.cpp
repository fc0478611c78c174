// SPDX-License-Identifier: Apache-2.0
// Tokens a second of an OLMoE folder: reading 512 tokens at once, then writing one after another. One JSON line with
// the medians of all repetitions.
//   olmoe_bench FOLDER THREADS REPS FORMAT [PREFILL DECODE]     FORMAT: f32 | bf16 | int8 | int4
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/cpu_level.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/olmoe/folder.h"

namespace {

using namespace polyphony;
using namespace polyphony::pipelines;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

int64_t number(const char* text, int64_t low) {
  const auto value = parse_integer(text);
  check<UsageError>(value && *value >= low, "[olmoe_bench] expected an integer from ", low, ", got ", text);
  return *value;
}

nlohmann::ordered_json measure(const char* folder, int64_t reps, const std::string& format, int64_t prefill,
                               int64_t decode) {
  const c10::InferenceMode inference;
  const auto packed = ops::weight_format(format);
  check<UsageError>(packed || format == "f32", "[olmoe_bench] expected f32, bf16, int8 or int4, got ", format);
  auto start = Clock::now();
  const auto model = load_olmoe(std::filesystem::path(folder), packed).model;
  const double load_s = seconds_since(start);
  at::manual_seed(1);
  std::vector<double> prefill_s, decode_s;
  for (int64_t rep = -1; rep < reps; ++rep) {  // the first one warms up
    const auto ids_T = at::randint(model.config.vocab_size, {prefill + decode}, at::kLong);
    OlmoeCache cache;
    start = Clock::now();
    forward(model, ids_T.narrow(0, 0, prefill), cache, OlmoeLogits::last);
    if (rep >= 0) prefill_s.push_back(seconds_since(start));
    for (int64_t i = 0; i < decode; ++i) {
      start = Clock::now();
      forward(model, ids_T.narrow(0, prefill + i, 1), cache, OlmoeLogits::last);
      if (rep >= 0) decode_s.push_back(seconds_since(start));
    }
  }
  return {{"format", format},
          {"threads", at::get_num_threads()},
          {"level", to_string(cpu_level())},
          {"layers", model.config.num_hidden_layers},
          {"load_s", load_s},
          {"prefill_tokens", prefill},
          {"prefill_s", median(prefill_s)},
          {"prefill_tokens_per_s", static_cast<double>(prefill) / median(prefill_s)},
          {"decode_s", median(decode_s)},
          {"decode_tokens_per_s", 1 / median(decode_s)},
          {"reps", reps}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 7) {
    std::fprintf(stderr, "usage: olmoe_bench FOLDER THREADS REPS f32|bf16|int8|int4 [PREFILL DECODE]\n");
    return argc == 1 ? 0 : static_cast<int>(ExitCode::usage);  // run with all others it has nothing to measure
  }
  try {
    at::set_num_threads(static_cast<int>(number(argv[2], 1)));
    const int64_t prefill = argc == 7 ? number(argv[5], 1) : 512, decode = argc == 7 ? number(argv[6], 1) : 32;
    std::printf("%s\n", measure(argv[1], number(argv[3], 1), argv[4], prefill, decode).dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "olmoe_bench: error: %s\n", error.what());
    return static_cast<int>(ExitCode::failure);
  }
  return 0;
}
