// SPDX-License-Identifier: Apache-2.0
// What deciding costs: every router of the registry and the dispatch plan of its rows, at the shape of OLMoE
// (arXiv:2409.02060): 1,024 tokens of width 2,048, 64 experts, 8 a token.
//   router_bench [THREADS] [FILE.json]   (default 2; the JSON goes to the file)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "moe/dispatch.h"
#include "moe/router.h"

namespace polyphony::moe {
namespace {

constexpr int64_t kTokens = 1024, kDim = 2048, kExperts = 64, kPerToken = 8;
constexpr int kRounds = 7;

double median_ms(const std::function<void()>& work) {
  std::vector<double> times;
  for (int round = 0; round < kRounds + 1; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (round > 0) times.push_back(took.count());
  }
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

RoutingContext make_context() {
  RoutingContext context;
  context.x_TD = at::randn({kTokens, kDim});
  context.modality_T = at::zeros({kTokens}, at::kByte);
  context.allowed_ME = at::ones({kNumModalities, kExperts}, at::kBool);
  context.token_id_T = at::randint(50000, {kTokens}, at::kLong);
  context.sample_T = at::arange(kTokens).floor_divide(256);
  context.label_T = context.sample_T;
  return context;
}

struct Row {
  std::string name;
  double route_ms, plan_ms, train_ms;
  int64_t rows;
};

Row measure(const std::string& name, const RoutingContext& context) {
  auto config = router_defaults(name);
  config.model_dim = kDim;
  config.num_experts = kExperts;
  if (router_takes(name, "experts_per_token")) config.experts_per_token = kPerToken;
  const auto router = make_router(config);
  const c10::NoGradGuard no_grad;
  auto training = context;
  training.training = true;
  const auto routing = router->route(context);
  return {.name = name,
          .route_ms = median_ms([&] { router->route(context); }),
          .plan_ms = median_ms([&] { plan_dispatch(routing); }),
          .train_ms = median_ms([&] { router->route(training); }),
          .rows = routing.token_N.size(0)};
}

}  // namespace

int run(int threads, const char* file) {
  at::set_num_threads(threads);
  at::manual_seed(1);
  const auto context = make_context();
  std::printf("%lld tokens of width %lld, %lld experts, %lld a token; %d thread(s); medians of %d in ms\n",
              static_cast<long long>(kTokens), static_cast<long long>(kDim), static_cast<long long>(kExperts),
              static_cast<long long>(kPerToken), threads, kRounds);
  std::printf("%-22s %8s %8s %8s %8s %8s\n", "router", "route", "plan", "both", "training", "rows");
  std::ostringstream json;
  json << "{\"tokens\": " << kTokens << ", \"dim\": " << kDim << ", \"experts\": " << kExperts
       << ", \"experts_per_token\": " << kPerToken << ", \"threads\": " << threads << ", \"unit\": \"ms\", \"rows\": [";
  const char* separator = "\n  ";
  measure(router_infos().front().name, context);  // wakes threads and makes kernels, once
  for (const auto& info : router_infos()) {
    const auto row = measure(info.name, context);
    std::printf("%-22s %8.2f %8.2f %8.2f %8.2f %8lld\n", row.name.c_str(), row.route_ms, row.plan_ms,
                row.route_ms + row.plan_ms, row.train_ms, static_cast<long long>(row.rows));
    json << separator << "{\"router\": \"" << row.name << "\", \"route\": " << row.route_ms
         << ", \"plan\": " << row.plan_ms << ", \"route_and_plan\": " << row.route_ms + row.plan_ms
         << ", \"route_in_training\": " << row.train_ms << ", \"rows\": " << row.rows << "}";
    separator = ",\n  ";
  }
  json << "\n]}\n";
  if (file != nullptr) std::ofstream(file) << json.str();
  return 0;
}

}  // namespace polyphony::moe

int main(int argc, char** argv) {
  return polyphony::moe::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 2, argc > 2 ? argv[2] : nullptr);
}
