// SPDX-License-Identifier: Apache-2.0
#include "core/ops/adamw/adamw.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "core/base/cpu_level.h"
#include "core/check.h"
#include "core/ops/adamw/adamw_cpu.h"
#include "core/ops/bf16_copy/bf16_copy.h"
#include "core/ops/parallel.h"

namespace polyphony::ops {
namespace {

constexpr int64_t kBlock = int64_t{1} << 15;  // values of a task
static_assert(kBlock % kAdamwLane == 0);

void check_tensors(const AdamwTensors& t) {
  const auto fits = [&](const at::Tensor& x) {
    return x.defined() && x.sizes() == t.weight.sizes() && x.strides() == t.weight.strides() &&
           x.scalar_type() == t.weight.scalar_type() && x.device() == t.weight.device();
  };
  check<ShapeError>(t.weight.defined() && t.weight.is_non_overlapping_and_dense(),
                    "[adamw] expected a weight without gaps");
  check<ShapeError>(fits(t.first) && fits(t.second) && (!t.average.defined() || fits(t.average)),
                    "[adamw] the state of a weight must have its shape, strides and dtype, ", t.weight.sizes());
  check<ShapeError>(!t.gradient.defined() || t.gradient.sizes() == t.weight.sizes(), "[adamw] a gradient must be ",
                    t.weight.sizes(), ", got ", t.gradient.defined() ? t.gradient.sizes() : at::IntArrayRef{});
  check<ShapeError>(t.step >= 1, "[adamw] steps count from 1, got ", t.step);
}

bool has_kernel(const AdamwTensors& t) { return t.weight.is_cpu() && t.weight.scalar_type() == at::kFloat; }

AdamwNumbers numbers_of(const AdamwTensors& t, const AdamwOptions& o) {
  const auto step = static_cast<double>(t.step);
  const auto f32 = [](double x) { return static_cast<float>(x); };
  return {.gradient_scale = f32(o.gradient_scale),
          .decay = f32(1 - o.learning_rate * t.weight_decay),
          .first_rate = f32(1 - o.beta1),
          .beta2 = f32(o.beta2),
          .second_rate = f32(1 - o.beta2),
          .step_size = f32(o.learning_rate / (1 - std::pow(o.beta1, step))),
          .second_divisor = f32(std::sqrt(1 - std::pow(o.beta2, step))),
          .eps = f32(o.eps),
          .average_weight = f32(o.average_weight)};
}

struct Block {
  size_t tensor;
  int64_t first, count;
};

}  // namespace

void adamw_step_(const std::vector<AdamwTensors>& tensors, const AdamwOptions& options) {
  const c10::NoGradGuard no_grad;
  for (const auto& t : tensors) check_tensors(t);
  if (!std::all_of(tensors.begin(), tensors.end(), has_kernel)) return adamw_step_reference_(tensors, options);
  std::vector<at::Tensor> gradients, copies;
  std::vector<AdamwNumbers> numbers;
  std::vector<Block> blocks;
  for (const auto& t : tensors) {
    const bool as_it_lies = !t.gradient.defined() || (t.gradient.strides() == t.weight.strides() &&
                                                      t.gradient.scalar_type() == at::kFloat && t.gradient.is_cpu());
    gradients.push_back(as_it_lies ? t.gradient : at::empty_like(t.weight).copy_(t.gradient));
    copies.push_back(carried_bf16_copy(t.weight));
    for (int64_t first = 0; first < t.weight.numel(); first += kBlock)
      blocks.push_back({.tensor = numbers.size(), .first = first, .count = std::min(kBlock, t.weight.numel() - first)});
    numbers.push_back(numbers_of(t, options));
  }
  const Round round = kernels_of(cpu_level()).round;
  for_each_task(std::ssize(blocks), [&](int64_t i) {
    const Block& block = blocks[static_cast<size_t>(i)];
    const AdamwTensors& t = tensors[block.tensor];
    const auto from = [&](const at::Tensor& x) {
      return x.defined() ? x.mutable_data_ptr<float>() + block.first : nullptr;
    };
    const at::Tensor& copy = copies[block.tensor];
    adamw_values({.weight = from(t.weight),
                  .gradient = from(gradients[block.tensor]),
                  .first = from(t.first),
                  .second = from(t.second),
                  .average = from(t.average),
                  .count = block.count,
                  .copy = copy.defined() ? static_cast<uint16_t*>(copy.mutable_data_ptr()) + block.first : nullptr,
                  .round = round},
                 numbers[block.tensor]);
  });
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& weight = tensors[i].weight;
    if (tensors[i].gradient.defined()) weight.unsafeGetTensorImpl()->bump_version();
    if (copies[i].defined()) carry_bf16_copy(weight, copies[i]);
  }
}

}  // namespace polyphony::ops
