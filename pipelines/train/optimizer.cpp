// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/check.h"
#include "core/ops/adamw/adamw.h"
#include "core/ops/bf16_copy/bf16_copy.h"

namespace polyphony::pipelines {
namespace {

// What products round: matrices and banks of them.
bool is_rounded(const at::Tensor& weight) {
  return (weight.dim() == 2 || weight.dim() == 3) && weight.is_cpu() && weight.scalar_type() == at::kFloat;
}

}  // namespace

Optimizer::Optimizer(torch::nn::Module& module, const OptimizerConfig& config) : module_(module), config_(config) {
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    names_.push_back(item.key());
    params_.push_back(item.value());
    const auto plain = item.value().detach();
    first_.push_back(at::zeros_like(plain, at::MemoryFormat::Preserve));
    second_.push_back(at::zeros_like(plain, at::MemoryFormat::Preserve));
    steps_.push_back(at::zeros({}, at::kFloat));
    if (config.ema_decay > 0) ema_.push_back(plain.clone());
    if (config.bf16_copies && is_rounded(plain)) ops::keep_bf16_copy(item.value());
  }
}

std::vector<size_t> Optimizer::with_gradient() const {
  std::vector<size_t> rows;
  for (size_t i = 0; i < params_.size(); ++i)
    if (params_[i].grad().defined()) rows.push_back(i);
  return rows;
}

double Optimizer::grad_norm() const {
  std::vector<at::Tensor> grads;
  for (const size_t i : with_gradient()) grads.push_back(params_[i].grad());
  if (grads.empty()) return 0;
  return at::stack(at::_foreach_norm(grads)).to(at::kDouble).norm().item<double>();
}

void Optimizer::zero_grad() {
  for (auto& p : params_) p.mutable_grad().reset();
}

void Optimizer::step(double learning_rate, double norm) {
  const c10::NoGradGuard no_grad;
  std::vector<ops::AdamwTensors> tensors;
  for (size_t i = 0; i < params_.size(); ++i) {
    const auto& gradient = params_[i].grad();
    if (gradient.defined()) steps_[i].add_(1);
    if (!gradient.defined() && ema_.empty()) continue;
    tensors.push_back({.weight = params_[i],
                       .gradient = gradient,
                       .first = first_[i],
                       .second = second_[i],
                       .average = ema_.empty() ? at::Tensor() : ema_[i],
                       .step = std::max<int64_t>(1, steps_[i].item<int64_t>()),
                       // Weight decay is for matrices, not for gains, biases and tables of one axis.
                       .weight_decay = params_[i].dim() >= 2 ? config_.weight_decay : 0.0});
  }
  // Early weights are noise: the average starts short and grows to its decay.
  const double n = steps_.empty() ? 0 : static_cast<double>(steps_.front().item<float>());
  const bool clips = config_.max_grad_norm > 0 && norm > config_.max_grad_norm;
  ops::adamw_step_(tensors, {.learning_rate = learning_rate,
                             .beta1 = config_.beta1,
                             .beta2 = config_.beta2,
                             .eps = config_.eps,
                             .gradient_scale = clips ? config_.max_grad_norm / (norm + 1e-6) : 1.0,
                             .average_weight = 1 - std::min(config_.ema_decay, (1 + n) / (10 + n))});
  zero_grad();
}

std::map<std::string, at::Tensor> Optimizer::ema_state() const {
  std::map<std::string, at::Tensor> out;
  for (const auto& item : module_.named_buffers()) out[item.key()] = item.value().detach().clone();
  for (size_t i = 0; i < names_.size(); ++i) out[names_[i]] = (ema_.empty() ? params_[i].detach() : ema_[i]).clone();
  return out;
}

void Optimizer::swap_ema() {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < ema_.size(); ++i) {
    const auto weights = params_[i].clone();
    params_[i].copy_(ema_[i]);
    ema_[i].copy_(weights);
  }
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> out;
  for (size_t i = 0; i < names_.size(); ++i) {
    out["first." + names_[i]] = first_[i];
    out["second." + names_[i]] = second_[i];
    out["steps." + names_[i]] = steps_[i];
    if (!ema_.empty()) out["ema." + names_[i]] = ema_[i];
  }
  return out;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  const c10::NoGradGuard no_grad;
  const auto copy = [&](const std::string& name, at::Tensor& into) {
    const auto found = state.find(name);
    check<DataError>(found != state.end(), "[optimizer] the checkpoint has no '", name, "'");
    check<DataError>(found->second.sizes() == into.sizes(), "[optimizer] '", name, "' must be ", into.sizes(), ", got ",
                     found->second.sizes());
    into.copy_(found->second);
  };
  for (size_t i = 0; i < names_.size(); ++i) {
    copy("first." + names_[i], first_[i]);
    copy("second." + names_[i], second_[i]);
    copy("steps." + names_[i], steps_[i]);
    if (!ema_.empty()) copy("ema." + names_[i], ema_[i]);
  }
}

}  // namespace polyphony::pipelines
