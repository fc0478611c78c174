// SPDX-License-Identifier: Apache-2.0
// The experts of a layer of OLMoE-1B-7B's shape (width 2048, hidden 1024, 64 experts, 8 a token), routing given: the
// side of the layer cases that is ours, and what makes the weights and inputs of all sides.
//   moe_layer_bench LAYERS.safetensors [THREADS [FORMAT]]   (default 2 bf16); the file is made where it is missing:
//   three layers of bf16 weights, 2.4 GB, in turns, so that caches do not answer. FORMAT: what run's weights are packed
//   in
// input TOKENS REPETITIONS SEED FILE   x_RTD bf16, expert_RTK i64, weight_RTK f32, dy_RTD bf16, layer_R i64
// run IN OUT|-, train IN OUT|-         milliseconds of each repetition; OUT: y, or the gradients, of the last one
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <malloc.h>

#include <cstdlib>
#include <filesystem>

#include "bench/measure.h"
#include "bench/serve.h"
#include "core/base/cpu_level.h"
#include "core/ops/packed_product/packed_product.h"
#include "core/rng.h"

namespace polyphony::bench {
namespace {

constexpr int64_t kD = 2048, kF = 1024, kE = 64, kK = 8, kLayers = 3;

struct Layer {
  at::Tensor w13_E2FD, w2_EDF;
  ops::PackedExperts packed;
};

void make_layers(const std::filesystem::path& file) {
  auto generator = make_generator(1);
  TensorMap tensors;
  for (int64_t l = 0; l < kLayers; ++l) {
    const auto drawn = [&](at::IntArrayRef shape) {
      return at::empty(shape, at::kBFloat16).normal_(0, 0.02, generator);
    };
    tensors["w13." + std::to_string(l)] = drawn({kE, 2 * kF, kD});
    tensors["w2." + std::to_string(l)] = drawn({kE, kD, kF});
  }
  save_tensors(file, tensors);
}

std::vector<Layer> load_layers(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) make_layers(file);
  auto tensors = load_tensors(file);
  std::vector<Layer> layers;
  for (int64_t l = 0; l < kLayers; ++l)
    layers.push_back({.w13_E2FD = tensors.at("w13." + std::to_string(l)),
                      .w2_EDF = tensors.at("w2." + std::to_string(l)),
                      .packed = {}});
  return layers;
}

void pack(std::vector<Layer>& layers, ops::WeightFormat format) {
  for (auto& layer : layers)
    layer.packed = {.w13 = ops::pack_matrices(layer.w13_E2FD, format, /*gated=*/true),
                    .w2 = ops::pack_matrices(layer.w2_EDF, format)};
}

nlohmann::json make_input(const Words& words) {
  const int64_t T = std::stoll(words.at(0)), R = std::stoll(words.at(1));
  auto generator = make_generator(std::stoull(words.at(2)));
  const auto [weight_RTK, expert_RTK] = at::rand({R, T, kE}, generator).topk(kK, -1);
  const auto first = at::randint(kLayers, {1}, generator, at::kLong);
  save_tensors(words.at(3), {{"x_RTD", at::randn({R, T, kD}, generator).to(at::kBFloat16)},
                             {"dy_RTD", at::randn({R, T, kD}, generator).to(at::kBFloat16)},
                             {"expert_RTK", expert_RTK},
                             {"weight_RTK", weight_RTK / weight_RTK.sum(-1, true)},
                             {"layer_R", (at::arange(R, at::kLong) + first).remainder(kLayers)}});
  return {{"tokens", T}, {"repetitions", R}};
}

struct Routed {
  at::Tensor x_TD, dy_TD, expert_N, weight_N;
};

Routed repetition(const TensorMap& input, int64_t r) {
  return {.x_TD = input.at("x_RTD")[r].clone(),
          .dy_TD = input.at("dy_RTD")[r],
          .expert_N = input.at("expert_RTK")[r].flatten(),
          .weight_N = input.at("weight_RTK")[r].flatten()};
}

ops::DispatchPlan plan_of(const Routed& in) {
  const int64_t T = in.x_TD.size(0);
  return ops::make_dispatch_plan(at::arange(T, at::kLong).repeat_interleave(kK), in.expert_N, T, kE);
}

// What is timed, and what is then told of it.
struct Way {
  at::Tensor (*work)(const Layer& layer, const Routed& in);
  TensorMap (*result)(const at::Tensor& y_TD, const Layer& layer, const Routed& in);
};

nlohmann::json run(const std::vector<Layer>& layers, const Words& words, const Way& way) {
  const auto input = load_tensors(words.at(0));
  std::vector<double> ms;
  TensorMap out;
  for (int64_t r = 0; r < input.at("x_RTD").size(0); ++r) {
    const auto in = repetition(input, r);
    const auto& layer = layers[static_cast<size_t>(input.at("layer_R")[r].item<int64_t>())];
    at::Tensor y_TD;
    ms.push_back(milliseconds([&] { y_TD = way.work(layer, in); }));
    out = way.result(y_TD, layer, in);
  }
  if (words.at(1) != "-") save_tensors(words.at(1), out);
  return {{"values", ms}};
}

at::Tensor forward(const Layer& layer, const Routed& in) {
  const c10::InferenceMode inference;
  return ops::packed_experts(in.x_TD, plan_of(in), in.weight_N, layer.packed);
}

TensorMap output(const at::Tensor& y_TD, const Layer&, const Routed&) { return {{"y", y_TD}}; }

// The banks' gradients go into f32 buffers that stay, as a trainer keeps them.
const ops::BankGradients& buffers() {
  static const ops::BankGradients made{.w13_E2FD = at::zeros({kE, 2 * kF, kD}, at::kFloat),
                                       .w2_EDF = at::zeros({kE, kD, kF}, at::kFloat),
                                       .accumulate = false};
  return made;
}

at::Tensor train(const Layer& layer, const Routed& in) {
  for (const auto& t : {in.x_TD, layer.w13_E2FD, layer.w2_EDF}) t.requires_grad_();
  auto y_TD = ops::moe_experts(in.x_TD, plan_of(in), in.weight_N, layer.w13_E2FD, layer.w2_EDF, std::nullopt,
                               ops::Activation::silu, buffers());
  y_TD.backward(in.dy_TD);
  return y_TD;
}

// The first experts' gradients stand for all: the rest would be 0.8 GB a file.
TensorMap gradients(const at::Tensor&, const Layer& layer, const Routed& in) {
  TensorMap out{{"dx", in.x_TD.grad()},
                {"dw13", buffers().w13_E2FD.narrow(0, 0, 2).clone()},
                {"dw2", buffers().w2_EDF.narrow(0, 0, 2).clone()}};
  for (const auto& t : {layer.w13_E2FD, layer.w2_EDF}) t.requires_grad_(false);
  return out;
}

}  // namespace
}  // namespace polyphony::bench

int main(int argc, char** argv) {
  using namespace polyphony;
  using namespace polyphony::bench;
  if (argc < 2) {
    std::cerr << "usage: moe_layer_bench LAYERS.safetensors [THREADS [FORMAT]]\n";
    return 2;
  }
  at::set_num_threads(argc > 2 ? std::max(1, std::atoi(argv[2])) : 2);
  // As the training program does: gradients of 0.8 GB a step are not given back to the system.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const auto format = ops::weight_format(argc > 3 ? argv[3] : "bf16");
  if (!format) {
    std::cerr << "moe_layer_bench: FORMAT must be bf16, int8 or int4\n";
    return 2;
  }
  auto layers = load_layers(argv[1]);
  const double pack_ms = milliseconds([&] { pack(layers, *format); });
  serve({{"ready", true}, {"level", std::string(to_string(cpu_level()))}, {"pack_ms", pack_ms}},
        {{"input", &make_input},
         {"run", [&](const Words& words) { return run(layers, words, {.work = &forward, .result = &output}); }},
         {"train", [&](const Words& words) { return run(layers, words, {.work = &train, .result = &gradients}); }}});
}
