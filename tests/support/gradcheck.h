// SPDX-License-Identifier: Apache-2.0
// Compares the gradients of a function of f64 tensors with central differences.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

namespace polyphony::testing {

struct GradcheckOptions {
  double step = 1e-6;
  double tolerance = 1e-6;  // of the largest difference, relative to 1 + |gradient|
};

// `f` maps the inputs to one tensor; inputs that require a gradient are checked, each element moved by +-step.
// A fixed random direction turns f's result into a number. The inputs must be f64 and contiguous.
inline void gradcheck(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                      const std::vector<at::Tensor>& inputs, const GradcheckOptions& options = {}) {
  std::vector<at::Tensor> wanted;
  for (const auto& input : inputs)
    if (input.requires_grad()) wanted.push_back(input);
  const at::Tensor y = f(inputs);
  at::Tensor direction = at::sin(at::arange(y.numel(), y.options().requires_grad(false)) * 1.7 + 0.3).view(y.sizes());
  const auto gradients = torch::autograd::grad({(y * direction).sum()}, wanted, {}, std::nullopt, false, true);
  const at::NoGradGuard no_grad;
  const auto value = [&] { return (f(inputs) * direction).sum().item<double>(); };
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_TRUE(gradients[i].defined()) << "input " << i << " got no gradient";
    const at::Tensor gradient = gradients[i].contiguous();
    double* x = wanted[i].data_ptr<double>();
    for (int64_t j = 0; j < wanted[i].numel(); ++j) {
      const double kept = x[j];
      x[j] = kept + options.step;
      const double above = value();
      x[j] = kept - options.step;
      const double below = value();
      x[j] = kept;
      const double expected = (above - below) / (2 * options.step);
      const double got = gradient.data_ptr<double>()[j];
      ASSERT_NEAR(got, expected, options.tolerance * (1 + std::abs(expected))) << "input " << i << ", element " << j;
    }
  }
}

}  // namespace polyphony::testing
