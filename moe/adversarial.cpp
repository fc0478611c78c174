// SPDX-License-Identifier: Apache-2.0
#include "moe/adversarial.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/check.h"

namespace polyphony::moe {

at::Tensor attacked(const at::Tensor& x, const std::function<at::Tensor(const at::Tensor&)>& divergence,
                    const AttackOptions& options, const std::optional<at::Generator>& generator) {
  const auto centre = x.detach();
  if (options.steps == 0 || options.radius == 0) return centre;
  const auto low = (centre - options.radius).clamp_min(options.lowest);
  const auto high = (centre + options.radius).clamp_max(options.highest);
  const auto noise = at::empty_like(centre).normal_(0, 1, generator) * options.start_noise;
  auto guess = at::minimum(at::maximum(centre + noise, low), high);
  for (int64_t step = 0; step < options.steps; ++step) {
    guess = guess.detach().requires_grad_();
    // Of the input alone: the parameters keep the gradients they have.
    const auto slope = torch::autograd::grad({divergence(guess)}, {guess}).front();
    check<NonFiniteError>(slope.isfinite().all().item<bool>(), "[attack] the gradient is not finite");
    guess = at::minimum(at::maximum(guess.detach() + options.step_size * slope.sign(), low), high);
  }
  return guess;
}

int64_t let_learn(torch::nn::Module& model, LearningPart part) {
  int64_t learning = 0;
  for (auto& item : model.named_parameters()) {
    const auto& name = item.key();
    const bool is_router = name.starts_with("gate.") || name.find(".gate.") != std::string::npos;
    const bool learns = is_router == (part == LearningPart::routers);
    item.value().set_requires_grad(learns);
    learning += learns ? 1 : 0;
  }
  return learning;
}

}  // namespace polyphony::moe
