// SPDX-License-Identifier: Apache-2.0
// The experts of one layer of OLMoE-1B-7B's shape (width 2048, hidden 1024, 64 experts, 8 a token), bf16, routing
// given, against the two ways that LibTorch offers: a loop over experts, and its grouped product. In turns in one run,
// on the same weights and inputs, over three layers of weights (2.4 GB), so that caches do not answer.
//   moe_layer_bench [THREADS] [REPETITIONS] [anyway]   (default 2, 7); a table on stderr, JSON on stdout
// Refuses to start on a busy machine, unless told to anyway.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/cpu_level.h"
#include "core/ops/bf16_product/tiles.h"
#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kD = 2048, kF = 1024, kE = 64, kK = 8, kLayers = 3;

struct Layer {
  at::Tensor w13_E2FD, w2_EDF;
};

struct Routed {
  at::Tensor x_TD, token_N, expert_N, weight_N;
};

Routed route(int64_t T) {
  const auto [weight, expert] = at::rand({T, kE}).topk(kK, 1);
  return {.x_TD = at::randn({T, kD}).to(at::kBFloat16),
          .token_N = at::arange(T, at::kLong).repeat_interleave(kK),
          .expert_N = expert.flatten(),
          .weight_N = (weight / weight.sum(1, true)).flatten()};
}

at::Tensor ours(const Layer& layer, const Routed& in) {
  return moe_experts(in.x_TD, make_dispatch_plan(in.token_N, in.expert_N, in.x_TD.size(0), kE), in.weight_N,
                     layer.w13_E2FD, layer.w2_EDF);
}

at::Tensor activated(const at::Tensor& h_R2F) { return at::silu(h_R2F.narrow(1, 0, kF)) * h_R2F.narrow(1, kF, kF); }

at::Tensor loop(const Layer& layer, const Routed& in) {
  auto y_TD = at::zeros_like(in.x_TD);
  for (int64_t e = 0; e < kE; ++e) {
    const auto rows = (in.expert_N == e).nonzero().flatten();
    if (rows.size(0) == 0) continue;
    const auto token = in.token_N.index_select(0, rows);
    const auto h = at::linear(in.x_TD.index_select(0, token), layer.w13_E2FD.select(0, e));
    const auto y = at::linear(activated(h), layer.w2_EDF.select(0, e));
    y_TD = y_TD.index_add(0, token, y * in.weight_N.index_select(0, rows).unsqueeze(1).to(y.scalar_type()));
  }
  return y_TD;
}

at::Tensor grouped(const Layer& layer, const Routed& in) {
  const auto order = at::argsort(in.expert_N, /*stable=*/true, 0, false);
  const auto token = in.token_N.index_select(0, order);
  const auto offsets = at::bincount(in.expert_N, {}, kE).cumsum(0).to(at::kInt);
  const auto h = at::_grouped_mm(in.x_TD.index_select(0, token), layer.w13_E2FD.transpose(1, 2), offsets);
  const auto y = at::_grouped_mm(activated(h), layer.w2_EDF.transpose(1, 2), offsets);
  const auto weight = in.weight_N.index_select(0, order).unsqueeze(1).to(y.scalar_type());
  return at::zeros_like(in.x_TD).index_add(0, token, y * weight);
}

using Way = at::Tensor (*)(const Layer&, const Routed&);
struct Candidate {
  const char* name;
  Way way;
};
constexpr Candidate kCandidates[] = {
    {"polyphony", &ours}, {"LibTorch loop", &loop}, {"LibTorch _grouped_mm", &grouped}};

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size()) / 2, values.end());
  return values[values.size() / 2];
}

void step(Way way, const Layer& layer, const Routed& in) {
  way(layer, in).sum().backward();
  for (const auto& t : {layer.w13_E2FD, layer.w2_EDF, in.x_TD}) t.mutable_grad().reset();
}

// What the machine allows in the same minutes: weights read once, and products that find their operands in the level-1
// cache, on each of the threads.
struct Limits {
  double gigabytes_per_second;
  double gigaflops;
};

double tile_gigaflops() {
  constexpr int64_t kDepth = 8, kTimes = 2000;
  std::vector<uint16_t> strips(4 * kDepth * kTileWords);
  std::vector<float> sum(4 * kSumWords);
  const TileKernels& kernels = kernels_of(polyphony::cpu_level());
  const double ms = milliseconds([&] {
    kernels.begin(16);
    for (int64_t i = 0; i < kTimes; ++i)
      kernels.multiply({.left = strips.data(),
                        .right = strips.data() + 2 * kDepth * kTileWords,
                        .left_step = kDepth * kTileWords,
                        .right_step = kDepth * kTileWords,
                        .right_stride = kTileWords,
                        .depth = kDepth,
                        .rows = 32,
                        .ahead = 0},
                       sum.data(), false);
    kernels.end();
  });
  return 2.0 * 32 * 32 * kTileDepth * kDepth * kTimes / ms / 1e6;
}

Limits measure_limits(const Layer& layer) {
  const c10::InferenceMode inference;
  const auto words = layer.w13_E2FD.view(at::kInt).flatten();
  Limits best{};
  for (int i = 0; i < 5; ++i) {
    const double ms = milliseconds([&] { words.sum(at::kInt); });
    best.gigabytes_per_second = std::max(best.gigabytes_per_second, static_cast<double>(words.nbytes()) / ms / 1e6);
    best.gigaflops = std::max(best.gigaflops, at::get_num_threads() * tile_gigaflops());
  }
  return best;
}

void measure(std::vector<Layer>& layers, int64_t T, bool train, int repetitions, bool first) {
  const Limits limits = measure_limits(layers[0]);
  std::vector<std::vector<double>> times(std::size(kCandidates));
  double worst = 0;
  for (int r = 0; r <= repetitions; ++r) {  // the first round warms up
    const Layer& layer = layers[static_cast<size_t>(r) % kLayers];
    Routed in = route(T);
    in.x_TD.requires_grad_(train);
    std::vector<at::Tensor> outputs;
    for (size_t i = 0; i < std::size(kCandidates); ++i) {
      const Way way = kCandidates[i].way;
      const double ms = milliseconds([&] {
        if (train) return step(way, layer, in);
        const c10::InferenceMode inference;
        outputs.push_back(way(layer, in));
      });
      if (r > 0) times[i].push_back(ms);
    }
    for (size_t i = 1; i < outputs.size(); ++i)
      worst = std::max(
          worst, ((outputs[0] - outputs[i]).to(at::kFloat).norm() / outputs[i].to(at::kFloat).norm()).item<double>());
  }
  const double mine = median(times[0]);
  size_t best = 1;
  for (size_t i = 2; i < times.size(); ++i) best = median(times[i]) < median(times[best]) ? i : best;
  const double peer = median(times[best]);
  const auto rows = static_cast<double>(T * kK);
  const double weights = std::min<double>(kE, rows) * 3 * kD * kF * 2 * (train ? 3 : 1);
  const double products = 6.0 * rows * kD * kF * (train ? 3 : 1);
  const double limit = std::max(weights / limits.gigabytes_per_second, products / limits.gigaflops) / 1e6;
  const auto [low, high] = std::minmax_element(times[0].begin(), times[0].end());
  std::fprintf(stderr, "layer_%s/%-6ld %9.2f %9.2f to %-9.2f %9.2f %-22s %5.2fx %9.2f %5.0f %%\n",
               train ? "train" : "forward", static_cast<long>(T), mine, *low, *high, peer, kCandidates[best].name,
               peer / mine, limit, 100 * limit / mine);
  std::printf(
      "%s\n  {\"case\": \"layer_%s/%ld\", \"unit\": \"ms\", \"ours\": %.3f, \"ours_low\": %.3f, \"ours_high\": "
      "%.3f, \"best_peer\": %.3f, \"peer\": \"%s\", \"ratio\": %.3f, \"limit\": %.3f, \"share_of_limit\": %.3f, "
      "\"relative_difference\": %s}",
      first ? "" : ",", train ? "train" : "forward", static_cast<long>(T), mine, *low, *high, peer,
      kCandidates[best].name, peer / mine, limit, limit / mine, train ? "null" : std::to_string(worst).c_str());
}

// Ticks of all processors since the machine started: busy ones, and all.
std::pair<int64_t, int64_t> processor_ticks() {
  std::ifstream stat("/proc/stat");
  std::string name;
  stat >> name;
  int64_t busy = 0, all = 0, ticks = 0;
  for (int field = 0; field < 8 && stat >> ticks; ++field) {
    all += ticks;
    if (field != 3 && field != 4) busy += ticks;  // idle and waiting for a disk
  }
  return {busy, all};
}

double busy_share() {
  const auto [busy, all] = processor_ticks();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const auto [busy_later, all_later] = processor_ticks();
  return static_cast<double>(busy_later - busy) / static_cast<double>(std::max<int64_t>(1, all_later - all));
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace
}  // namespace polyphony::ops

int main(int argc, char** argv) {
  using namespace polyphony::ops;
  const bool anyway = argc > 1 && std::string(argv[argc - 1]) == "anyway";
  if (const double busy = busy_share(); busy > 0.1 && !anyway) {
    std::fprintf(stderr, "[moe_layer_bench] expected a quiet machine, got processors busy %.0f %% of the time\n",
                 100 * busy);
    return 1;
  }
  at::set_num_threads(argc > 1 ? std::max(1, std::atoi(argv[1])) : 2);
  const int repetitions = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  // As the training program does, for all candidates: gradients of 0.8 GB a step are not given back to the system.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  at::manual_seed(1);
  std::vector<Layer> layers;
  for (int64_t l = 0; l < kLayers; ++l)
    layers.push_back({.w13_E2FD = at::randn({kE, 2 * kF, kD}, at::kBFloat16).mul_(0.02),
                      .w2_EDF = at::randn({kE, kD, kF}, at::kBFloat16).mul_(0.02)});
  const std::string level(polyphony::to_string(polyphony::cpu_level()));
  std::fprintf(stderr, "%d thread(s), level %s; ms, medians of %d\n", at::get_num_threads(), level.c_str(),
               repetitions);
  std::fprintf(stderr, "%-20s %9s %22s %9s %-22s %6s %9s %7s\n", "case", "ours", "low to high", "best peer", "",
               "ratio", "limit", "of it");
  std::printf("{\"machine\": \"%s\", \"threads\": %d, \"level\": \"%s\", \"repetitions\": %d, \"rows\": [",
              processor_name().c_str(), at::get_num_threads(), level.c_str(), repetitions);
  bool first = true;
  for (const int64_t T : {1, 16, 128, 1024, 4096}) measure(layers, T, false, repetitions, std::exchange(first, false));
  for (auto& layer : layers) {
    layer.w13_E2FD.requires_grad_();
    layer.w2_EDF.requires_grad_();
  }
  measure(layers, 1024, true, repetitions, false);
  std::printf("\n]}\n");
}
