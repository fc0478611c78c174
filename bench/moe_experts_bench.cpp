// SPDX-License-Identifier: Apache-2.0
// The fused moe_experts against a loop over experts in LibTorch operations, with the machine's dense product beside it.
//   moe_experts_bench [THREADS]   (default 1)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "bench/measure.h"
#include "core/ops/moe_experts/moe_experts.h"

namespace polyphony::ops {
namespace {

struct Case {
  const char* name;
  int64_t T, D, F, E, K;
  at::ScalarType dtype;
};

constexpr Case kCases[] = {
    {"shipped model, a training step", 1440, 192, 128, 12, 2, at::kFloat},
    {"shipped model, a training step", 1440, 192, 128, 12, 2, at::kBFloat16},
    {"DiT-MoE S/2-8E2A, 8 pictures", 2048, 384, 1536, 8, 2, at::kFloat},
    {"DiT-MoE S/2-8E2A, 8 pictures", 2048, 384, 1536, 8, 2, at::kBFloat16},
    {"64 small experts", 2048, 512, 256, 64, 6, at::kFloat},
};

struct Inputs {
  DispatchPlan plan;
  at::Tensor x_TD, weight_N, w13_E2FD, w2_EDF;
};

Inputs make_inputs(const Case& c) {
  const auto token = at::arange(c.T, at::kLong).repeat_interleave(c.K);
  const auto expert = std::get<1>(at::rand({c.T, c.E}).topk(c.K, 1)).flatten();
  Inputs in{.plan = make_dispatch_plan(token, expert, c.T, c.E),
            .x_TD = at::randn({c.T, c.D}).to(c.dtype),
            .weight_N = at::rand({c.T * c.K}),
            .w13_E2FD = (at::randn({c.E, 2 * c.F, c.D}) * 0.05).to(c.dtype),
            .w2_EDF = (at::randn({c.E, c.D, c.F}) * 0.05).to(c.dtype)};
  for (auto* t : {&in.x_TD, &in.weight_N, &in.w13_E2FD, &in.w2_EDF}) t->requires_grad_();
  return in;
}

// Milliseconds, the median of each candidate; candidates take turns, so that a busy moment hits all of them.
std::vector<double> medians(const std::vector<std::function<void()>>& candidates) {
  constexpr int kRounds = 5;
  std::vector<std::vector<double>> times(candidates.size());
  for (int round = 0; round < kRounds + 1; ++round)
    for (size_t i = 0; i < candidates.size(); ++i) {
      const double ms = bench::milliseconds(candidates[i]);
      if (round >= 1) times[i].push_back(ms);
    }
  std::vector<double> out;
  for (const auto& t : times) out.push_back(bench::median(t));
  return out;
}

using Operation = at::Tensor (*)(const Inputs& in);

at::Tensor fused(const Inputs& in) { return moe_experts(in.x_TD, in.plan, in.weight_N, in.w13_E2FD, in.w2_EDF); }
at::Tensor loop(const Inputs& in) {
  return moe_experts_reference(in.x_TD, in.plan, in.weight_N, in.w13_E2FD, in.w2_EDF);
}

void step(Operation operation, Inputs& in, bool backward) {
  const c10::AutoGradMode mode(backward);
  const auto y = operation(in);
  if (!backward) return;
  y.sum().backward();
  for (auto* t : {&in.x_TD, &in.weight_N, &in.w13_E2FD, &in.w2_EDF}) t->mutable_grad().reset();
}

// The same multiplications in one dense product without routing: what the machine allows.
std::function<void()> dense_product(const Case& c, at::ScalarType dtype) {
  const auto a = at::randn({c.T * c.K, c.D}).to(dtype), b = at::randn({c.D, 3 * c.F}).to(dtype);
  return [a, b] {
    const c10::NoGradGuard no_grad;
    at::mm(a, b);
  };
}

void measure(const Case& c) {
  auto in = make_inputs(c);
  const double products = 2.0 * 3 * static_cast<double>(c.T * c.K * c.D * c.F);  // operations of one forward pass
  for (const bool backward : {false, true}) {
    const auto ms =
        medians({[&] { step(&fused, in, backward); }, [&] { step(&loop, in, backward); }, dense_product(c, c.dtype)});
    const double limit = backward ? 3 * ms[2] : ms[2];
    std::printf("%-32s %-8s %-8s %9.2f %9.2f %7.2fx %9.2f %6.0f %% %8.0f\n", c.name,
                c.dtype == at::kFloat ? "f32" : "bf16", backward ? "fwd+bwd" : "fwd", ms[0], ms[1], ms[1] / ms[0],
                limit, 100 * limit / ms[0], (backward ? 3 : 1) * products / ms[0] / 1e6);
  }
}

}  // namespace
}  // namespace polyphony::ops

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1);
  at::manual_seed(1);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("%d thread(s); medians of 5 in ms; limit: the same multiplications in dense products\n",
              at::get_num_threads());
  std::printf("%-32s %-8s %-8s %9s %9s %8s %9s %8s %8s\n", "case", "dtype", "pass", "fused", "loop", "ratio", "limit",
              "of it", "GFLOP/s");
  for (const auto& c : polyphony::ops::kCases) polyphony::ops::measure(c);
}
