// SPDX-License-Identifier: Apache-2.0
// What the machine allows, measured beside the programs that are held against it: products in tile registers, and
// reading of memory.
//   limits_bench [THREADS]   (default 2); serves "run"
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "bench/measure.h"
#include "bench/serve.h"
#include "bench/tile_peak.h"
#include "core/base/cpu_level.h"

namespace polyphony::bench {
namespace {

constexpr size_t kWords = size_t{1} << 27;  // of 8 bytes: 1 GiB, more than any cache holds

// In large pages where the system gives them, so that looking up addresses limits nothing.
struct ReadWords {
  ReadWords() : data(static_cast<uint64_t*>(std::aligned_alloc(size_t{1} << 21, kWords * sizeof(uint64_t)))) {
    if (data == nullptr) throw std::bad_alloc();
    madvise(data, kWords * sizeof(uint64_t), MADV_HUGEPAGE);
    std::fill_n(data, kWords, 0);
  }
  ~ReadWords() { std::free(data); }
  ReadWords(const ReadWords&) = delete;
  ReadWords& operator=(const ReadWords&) = delete;
  uint64_t* data;
};

void on_threads(int threads, const std::function<void(int)>& work) {
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i) running.emplace_back(work, i);
  for (auto& thread : running) thread.join();
}

// Sums that do not wait for one another, asked for well ahead.
uint64_t sum_of(const uint64_t* words, size_t count) {
  constexpr size_t kStep = 32, kAhead = 512;
  uint64_t sum[kStep] = {};
  for (size_t i = 0; i + kStep <= count; i += kStep) {
    for (size_t line = 0; line < kStep; line += 8) __builtin_prefetch(words + i + line + kAhead);
    for (size_t j = 0; j < kStep; ++j) sum[j] += words[i + j];
  }
  uint64_t all = 0;
  for (const uint64_t s : sum) all += s;
  return all;
}

double gigabytes_per_second(const uint64_t* words, int threads) {
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  const size_t share = kWords / static_cast<size_t>(threads);
  const double ms = milliseconds([&] {
    on_threads(threads, [&](int i) {
      const auto part = static_cast<size_t>(i);
      sums[part] = sum_of(words + part * share, share);
    });
  });
  for (const uint64_t s : sums)
    if (s != 0) std::abort();  // never, since all words are 0; it makes the sums needed
  return static_cast<double>(share) * 8 * threads / ms / 1e6;
}

double giga_operations(TileOperation operation, int threads) {
  constexpr int64_t kTimes = 200'000;
  const double ms = milliseconds([&] { on_threads(threads, [&](int) { run_tiles(operation, kTimes); }); });
  return operations_of(operation, kTimes) * threads / ms / 1e6;
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony;
  using namespace polyphony::bench;
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 2;
  const bool tiles = cpu_level() == CpuLevel::amx;
  const ReadWords words;
  serve({{"ready", true}, {"threads", threads}, {"level", std::string(to_string(cpu_level()))}},
        {{"run", [&](const Words&) -> nlohmann::json {
            nlohmann::json out{{"read_gb_s_1", gigabytes_per_second(words.data, 1)},
                               {"read_gb_s", gigabytes_per_second(words.data, threads)}};
            if (tiles) {
              out["bf16_gflop_s_1"] = giga_operations(TileOperation::bf16, 1);
              out["bf16_gflop_s"] = giga_operations(TileOperation::bf16, threads);
              out["int8_gop_s"] = giga_operations(TileOperation::int8, threads);
            }
            return out;
          }}});
}
