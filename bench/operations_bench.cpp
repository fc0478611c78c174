// SPDX-License-Identifier: Apache-2.0
// Single operations under Google Benchmark, at the sizes of OLMoE-1B-7B (width 2048, 64 experts, 8 a token):
//   operations_bench [--benchmark_filter=REGEX] [--benchmark_out=FILE]
// Processor time is that of all threads; arguments are tokens, and the format of the weights where there are any.
#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <string>

#include "core/ops/adamw/adamw.h"
#include "core/ops/linear/linear.h"
#include "core/ops/packed_product/packed_product.h"
#include "core/ops/rms_norm/rms_norm.h"
#include "core/ops/topk_softmax/topk_softmax.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kD = 2048, kE = 64, kK = 8;

void route(benchmark::State& state) {
  const at::Tensor logits_TE = at::randn({state.range(0), kE});
  for (auto _ : state) benchmark::DoNotOptimize(topk_softmax(logits_TE, kK).expert_TK.const_data_ptr());
}

void plan(benchmark::State& state) {
  const int64_t T = state.range(0);
  const at::Tensor token_N = at::arange(T, at::kLong).repeat_interleave(kK);
  const at::Tensor expert_N = topk_softmax(at::randn({T, kE}), kK).expert_TK.flatten();
  for (auto _ : state) benchmark::DoNotOptimize(make_dispatch_plan(token_N, expert_N, T, kE).slot_R.const_data_ptr());
}

void norm(benchmark::State& state) {
  const at::Tensor x_TD = at::randn({state.range(0), kD}), weight_D = at::ones({kD});
  for (auto _ : state) benchmark::DoNotOptimize(rms_norm(x_TD, weight_D, 1e-5).const_data_ptr());
  state.SetBytesProcessed(state.iterations() * 2 * static_cast<int64_t>(x_TD.nbytes()));
}

// Items are products of two numbers, bytes those of the weights that are read.
void count(benchmark::State& state, int64_t weight_bytes) {
  state.SetItemsProcessed(state.iterations() * state.range(0) * kD * kD);
  state.SetBytesProcessed(state.iterations() * weight_bytes);
}

void plain_linear(benchmark::State& state) {
  const at::Tensor x_TD = at::randn({state.range(0), kD}).to(at::kBFloat16);
  const at::Tensor w_DD = at::randn({kD, kD}).to(at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(ops::linear(x_TD, w_DD).const_data_ptr());
  count(state, static_cast<int64_t>(w_DD.nbytes()));
}

void packed(benchmark::State& state) {
  const at::Tensor x_TD = at::randn({state.range(0), kD}).to(at::kBFloat16);
  const auto format = static_cast<WeightFormat>(state.range(1));
  const PackedMatrices w_DD = pack_matrices(at::randn({kD, kD}), format);
  for (auto _ : state) benchmark::DoNotOptimize(packed_linear(x_TD, w_DD).const_data_ptr());
  state.SetLabel(std::string(to_string(format)));
  count(state, static_cast<int64_t>(w_DD.steps.nbytes()));
}

void adamw(benchmark::State& state) {
  const auto value = [&] { return at::rand({state.range(0)}); };
  const std::vector<AdamwTensors> tensors = {
      {.weight = value(), .gradient = value(), .first = value(), .second = value(), .average = value()}};
  for (auto _ : state) adamw_step_(tensors, {.learning_rate = 1e-3, .average_weight = 0.01});
  state.SetBytesProcessed(state.iterations() * 9 * state.range(0) * 4);  // five read, four written
}

BENCHMARK(route)->Name("topk_softmax")->Arg(1)->Arg(1024)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(plan)->Name("dispatch_plan")->Arg(1)->Arg(1024)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(norm)->Name("rms_norm")->Arg(1)->Arg(1024)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(plain_linear)->Name("linear")->Arg(1)->Arg(16)->Arg(512)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(packed)
    ->Name("packed_linear")
    ->ArgsProduct({{1, 16, 512}, {0, 1, 2}})
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK(adamw)->Name("adamw_step")->Arg(1 << 22)->MeasureProcessCPUTime()->UseRealTime();

}  // namespace
}  // namespace polyphony::ops

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const c10::InferenceMode inference;
  benchmark::RunSpecifiedBenchmarks();
}
