// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/guidance.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <future>

#include "core/check.h"
#include "modalities/latent/sampling.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kGuidedByDdpm = 3;

void check_guidance(const DitMoe& model, const DitMoeGuidance& guidance) {
  check<ConfigError>(std::isfinite(guidance.scale), "[guidance] expected a finite scale, got ", guidance.scale);
  check<ConfigError>(guidance.scale == 1 || model.config().has_null_class(),
                     "[guidance] the model was trained without label dropout: the scale must be 1, got ",
                     guidance.scale);
}

// The routing of the first half of the tokens.
moe::Routing first_half(const moe::Routing& routing) {
  const int64_t T = routing.num_tokens / 2;
  const auto row = (routing.token_N < T).nonzero().flatten();
  moe::Routing half = routing;
  half.token_N = routing.token_N.index_select(0, row);
  half.expert_N = routing.expert_N.index_select(0, row);
  half.weight_N = routing.weight_N.index_select(0, row);
  if (routing.logits_TE.defined()) half.logits_TE = routing.logits_TE.narrow(0, 0, T);
  if (routing.score_TE.defined()) half.score_TE = routing.score_TE.narrow(0, 0, T);
  half.num_tokens = T;
  return half;
}

struct Halves {
  at::Tensor conditional, unconditional;
};

void report(const DitMoeGuidance& guidance, double t, std::vector<moe::Routing> routings, bool both_halves) {
  if (!guidance.on_routing) return;
  if (both_halves)
    for (auto& routing : routings) routing = first_half(routing);
  guidance.on_routing(t, routings);
}

at::Tensor pass(DitMoe& model, const DitMoeGuidance& guidance, const at::Tensor& x, double t, const at::Tensor& y,
                bool told, bool both_halves) {
  const auto t_B = at::full({x.size(0)}, t, x.options().dtype(at::kFloat));
  auto out = model.forward({.x_BCHW = x, .t_B = t_B, .y_B = y.to(x.device())});
  if (told) report(guidance, t, std::move(out.routings), both_halves);
  return out.out_BCHW;
}

// With the settings of this thread that a result or its cost depends on.
template <class Work>
std::future<at::Tensor> on_another_thread(const Work& work) {
  return std::async(std::launch::async,
                    [&work, threads = at::get_num_threads(), inference = c10::InferenceMode::is_enabled()] {
                      at::set_num_threads(threads);
                      const c10::InferenceMode mode(inference);
                      const at::AutoGradMode gradients(false);
                      return work();
                    });
}

Halves both(DitMoe& model, const DitMoeGuidance& guidance, const at::Tensor& x, double t) {
  const auto null_N = at::full_like(guidance.y_N, model.config().num_classes);
  if (!guidance.batched) {
    const auto unconditional = [&] { return pass(model, guidance, x, t, null_N, false, false); };
    auto other =
        guidance.side_by_side ? on_another_thread(unconditional) : std::async(std::launch::deferred, unconditional);
    auto conditional = pass(model, guidance, x, t, guidance.y_N, true, false);
    return {std::move(conditional), other.get()};
  }
  const auto out = pass(model, guidance, at::cat({x, x}), t, at::cat({guidance.y_N, null_N}), true, true);
  return {out.narrow(0, 0, x.size(0)), out.narrow(0, x.size(0), x.size(0))};
}

at::Tensor guided(DitMoe& model, const DitMoeGuidance& guidance, const at::Tensor& x, double t, int64_t channels) {
  if (guidance.scale == 1) return pass(model, guidance, x, t, guidance.y_N, true, false);
  const auto halves = both(model, guidance, x, t);
  return latent::guide(halves.conditional, halves.unconditional, {.scale = guidance.scale, .channels = channels});
}

}  // namespace

latent::VelocityModel guided_velocity(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance) {
  check_guidance(*model, guidance);
  return [model = std::move(model), guidance = std::move(guidance)](const at::Tensor& x, double t) {
    return latent::without_variance(guided(*model, guidance, x, t, 0), x);
  };
}

latent::DiscreteModel guided_epsilon(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance) {
  check_guidance(*model, guidance);
  const int64_t channels = std::min(kGuidedByDdpm, model->config().in_channels);
  return [model = std::move(model), guidance = std::move(guidance), channels](const at::Tensor& x, int64_t t) {
    return guided(*model, guidance, x, static_cast<double>(t), channels);
  };
}

}  // namespace polyphony::pipelines
