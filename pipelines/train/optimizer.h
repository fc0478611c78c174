// SPDX-License-Identifier: Apache-2.0
// AdamW with gradient clipping and an exponential moving average (EMA) of the weights.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

namespace polyphony::pipelines {

struct OptimizerConfig {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.0;   // on parameters with two or more axes only
  double max_grad_norm = 1.0;  // global norm; 0 switches clipping off
  double ema_decay = 0.999;    // 0 switches the EMA off
  bool bf16_copies = true;     // of f32 weights on the CPU, written by each step for the products of bf16 autocast
};

// Owns the state of the parameters of one module. Source: AdamW (arXiv:1711.05101).
class Optimizer {
 public:
  Optimizer(torch::nn::Module& module, const OptimizerConfig& config);

  // Global norm of the gradients before clipping, f64; parameters without a gradient count as 0.
  double grad_norm() const;
  // One step at the given rate: clips by `norm`, updates weights and EMA, then drops the gradients.
  void step(double learning_rate, double norm);
  void zero_grad();

  // EMA of the weights (or the weights themselves without EMA), buffers included, by name.
  std::map<std::string, at::Tensor> ema_state() const;
  // Swaps weights and EMA; call twice to come back. Nothing happens without EMA.
  void swap_ema();

  // Everything that a resumed run needs: moments, counters, EMA. Names are the parameters', prefixed.
  std::map<std::string, at::Tensor> state() const;
  void load_state(const std::map<std::string, at::Tensor>& state);  // DataError naming what is missing or misshaped

 private:
  std::vector<size_t> with_gradient() const;

  torch::nn::Module& module_;
  OptimizerConfig config_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> params_, first_, second_, steps_, ema_;
};

}  // namespace polyphony::pipelines
