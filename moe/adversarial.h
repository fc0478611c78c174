// SPDX-License-Identifier: Apache-2.0
// Adversarial training of a routed model: the attack, and the alternation in which the routers and all else are made
// robust in turn.
#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

#include <functional>
#include <optional>

namespace polyphony::moe {

struct AttackOptions {
  double radius = 8.0 / 255;       // of the ball around x, in the maximum norm
  double step_size = 5.0 / 255;    // of each step along the sign of the gradient
  int64_t steps = 2;               // 0: x itself
  double start_noise = 0.001;      // standard deviation of the first guess
  double lowest = 0, highest = 1;  // of x's values
};

// The point of the ball around x that raises `divergence` (a scalar of the disturbed input) most, by sign gradients.
// Leaves no gradient in the parameters that divergence reads. Throws NonFiniteError if a gradient is not finite.
// Source: PGD (arXiv:1706.06083) with the settings of AdvMoE (arXiv:2308.10110).
at::Tensor attacked(const at::Tensor& x, const std::function<at::Tensor(const at::Tensor&)>& divergence,
                    const AttackOptions& options, const std::optional<at::Generator>& generator = std::nullopt);

// What learns in one half of a step.
enum class LearningPart { experts, routers };

// Lets the parameters of routers (below a module named "gate") or all others require gradients, and stops the rest.
// Returns how many tensors learn. Source: AdvMoE (arXiv:2308.10110) section 4: training both at once is weaker.
int64_t let_learn(torch::nn::Module& model, LearningPart part);

}  // namespace polyphony::moe
