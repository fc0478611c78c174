// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/guidance.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
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

at::Tensor times_of(int64_t samples, double t) { return at::full({samples}, t, at::kFloat); }

// The modulations of a packed model for times to come, some at once.
class Ahead {
 public:
  // y_B: the classes of a pass, in its order; every pass has the same.
  Ahead(std::shared_ptr<DitMoe> model, std::vector<double> times, at::Tensor y_B)
      : model_(std::move(model)), times_(std::move(times)), y_B_(std::move(y_B)) {}

  // f32 (B, M); undefined where the time was not told or the model is not packed.
  at::Tensor of(double t) {
    if (!model_->packed()) return {};
    const auto place = std::find(times_.begin(), times_.end(), t) - times_.begin();
    if (place == std::ssize(times_)) return {};
    if (place < first_ || place >= first_ + count_) compute(place);
    return modulation_CBM_[place - first_];
  }

 private:
  static constexpr int64_t kAtOnce = 16;

  void compute(int64_t place) {
    first_ = place;
    count_ = std::min(kAtOnce, std::ssize(times_) - place);
    const int64_t B = y_B_.size(0);
    std::vector<at::Tensor> t;
    for (int64_t i = 0; i < count_; ++i) t.push_back(times_of(B, times_[static_cast<size_t>(place + i)]));
    modulation_CBM_ = model_->modulations(at::cat(t), y_B_.repeat({count_})).view({count_, B, -1});
  }

  std::shared_ptr<DitMoe> model_;
  std::vector<double> times_;
  at::Tensor y_B_, modulation_CBM_;
  int64_t first_ = 0, count_ = 0;  // of the times in modulation_CBM_
};

struct Pass {
  at::Tensor y_B;
  at::Tensor modulation_BM = {};  // undefined: the model computes it
  bool told = true;               // to whoever asked for the routing,
  bool both_halves = false;       // of its first half alone
};

at::Tensor run(DitMoe& model, const DitMoeGuidance& guidance, const at::Tensor& x, double t, const Pass& pass) {
  auto out = model.forward({.x_BCHW = x,
                            .t_B = times_of(x.size(0), t).to(x.device()),
                            .y_B = pass.y_B.to(x.device()),
                            .modulation_BM = pass.modulation_BM});
  if (pass.told) report(guidance, t, std::move(out.routings), pass.both_halves);
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

Halves apart(DitMoe& model, const DitMoeGuidance& guidance, const at::Tensor& x, double t, const at::Tensor& null_N) {
  const auto unconditional = [&] { return run(model, guidance, x, t, {.y_B = null_N, .told = false}); };
  auto other =
      guidance.side_by_side ? on_another_thread(unconditional) : std::async(std::launch::deferred, unconditional);
  auto conditional = run(model, guidance, x, t, {.y_B = guidance.y_N});
  return {std::move(conditional), other.get()};
}

// The guided model at a time, of x. Copies share what is computed ahead: one sampler after another.
std::function<at::Tensor(const at::Tensor&, double)> guided(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance,
                                                            int64_t channels) {
  check_guidance(*model, guidance);
  const bool plain = guidance.scale == 1;
  const auto null_N = at::full_like(guidance.y_N, model->config().num_classes);
  const auto y_B = plain ? guidance.y_N : at::cat({guidance.y_N, null_N});
  auto ahead = std::make_shared<Ahead>(model, guidance.times, y_B);
  return [=, model = std::move(model), guidance = std::move(guidance)](const at::Tensor& x, double t) {
    if (plain) return run(*model, guidance, x, t, {.y_B = y_B, .modulation_BM = ahead->of(t)});
    Halves halves;
    if (guidance.batched) {
      const auto out =
          run(*model, guidance, at::cat({x, x}), t, {.y_B = y_B, .modulation_BM = ahead->of(t), .both_halves = true});
      halves = {out.narrow(0, 0, x.size(0)), out.narrow(0, x.size(0), x.size(0))};
    } else {
      halves = apart(*model, guidance, x, t, null_N);
    }
    return latent::guide(halves.conditional, halves.unconditional, {.scale = guidance.scale, .channels = channels});
  };
}

}  // namespace

latent::VelocityModel guided_velocity(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance) {
  return [both = guided(std::move(model), std::move(guidance), 0)](const at::Tensor& x, double t) {
    return latent::without_variance(both(x, t), x);
  };
}

latent::DiscreteModel guided_epsilon(std::shared_ptr<DitMoe> model, DitMoeGuidance guidance) {
  const int64_t channels = std::min(kGuidedByDdpm, model->config().in_channels);
  return [both = guided(std::move(model), std::move(guidance), channels)](const at::Tensor& x, int64_t t) {
    return both(x, static_cast<double>(t));
  };
}

}  // namespace polyphony::pipelines
