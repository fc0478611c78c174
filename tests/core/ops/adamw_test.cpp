// SPDX-License-Identifier: Apache-2.0
#include "core/ops/adamw/adamw.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/threads.h"

namespace polyphony::ops {
namespace {

using polyphony::testing::Threads;

AdamwTensors tensors_of(at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
  const auto options = at::TensorOptions().dtype(dtype);
  return {.weight = at::randn(sizes, options),
          .gradient = at::randn(sizes, options),
          .first = 0.1 * at::randn(sizes, options),
          .second = 0.1 * at::rand(sizes, options),
          .average = at::randn(sizes, options)};
}

// Sizes below, at and above a lane, a panel and a task.
std::vector<AdamwTensors> many(at::ScalarType dtype = at::kFloat) {
  at::manual_seed(1);
  std::vector<AdamwTensors> out;
  for (const int64_t size : {0, 1, 7, 8, 15, 1024, 1031, 32768, 70003}) {
    out.push_back(tensors_of({size}, dtype));
    out.back().step = size + 1;
    out.back().weight_decay = size % 2 == 0 ? 0.1 : 0.0;
  }
  out.push_back(tensors_of({33, 5, 7}, dtype));
  out.back().average = at::Tensor();
  out.push_back(tensors_of({12}, dtype));
  out.back().gradient = at::Tensor();
  return out;
}

std::vector<AdamwTensors> copy_of(const std::vector<AdamwTensors>& tensors) {
  auto out = tensors;
  for (auto& t : out)
    for (at::Tensor* x : {&t.weight, &t.first, &t.second, &t.average})
      if (x->defined()) *x = x->clone();
  return out;
}

void expect_same(const std::vector<AdamwTensors>& a, const std::vector<AdamwTensors>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    for (const auto member :
         {&AdamwTensors::weight, &AdamwTensors::first, &AdamwTensors::second, &AdamwTensors::average})
      if ((a[i].*member).defined()) {
        EXPECT_TRUE(at::equal(a[i].*member, b[i].*member)) << (a[i].*member).sizes();
      }
}

constexpr AdamwOptions kOptions{
    .learning_rate = 1.5e-3, .beta1 = 0.9, .beta2 = 0.95, .gradient_scale = 0.37, .average_weight = 0.001};

TEST(Adamw, EqualsLibTorchToTheLastBit) {
  for (const double scale : {1.0, 0.37})
    for (const double beta1 : {0.9, 0.3})
      for (const double average : {0.001, 0.7}) {
        auto options = kOptions;
        options.gradient_scale = scale;
        options.beta1 = beta1;
        options.average_weight = average;
        const auto ours = many(), theirs = copy_of(ours);
        const Threads one(1);
        adamw_step_(ours, options);
        adamw_step_reference_(theirs, options);
        expect_same(ours, theirs);
      }
}

TEST(Adamw, HasTheSameBitsForAnyNumberOfThreads) {
  const auto a = many(), b = copy_of(a);
  {
    const Threads one(1);
    adamw_step_(a, kOptions);
  }
  const Threads two(2);
  adamw_step_(b, kOptions);
  expect_same(a, b);
}

TEST(Adamw, FollowsTheFormula) {
  const auto t = many(at::kDouble).at(6);  // f64 goes by the reference
  const auto before = copy_of({t}).front();
  adamw_step_({t}, kOptions);
  const auto g = kOptions.gradient_scale * t.gradient;
  const auto first = 0.9 * before.first + 0.1 * g, second = 0.95 * before.second + 0.05 * g * g;
  const double n = static_cast<double>(t.step), c1 = 1 - std::pow(0.9, n), c2 = 1 - std::pow(0.95, n);
  const auto weight =
      before.weight * (1 - 1.5e-3 * t.weight_decay) - 1.5e-3 / c1 * first / ((second / c2).sqrt() + 1e-8);
  EXPECT_TRUE(at::allclose(t.first, first, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(t.second, second, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(t.weight, weight, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(t.average, before.average + 0.001 * (weight - before.average), 1e-12, 1e-12));
}

TEST(Adamw, ReadsAGradientOfOtherStrides) {
  at::manual_seed(2);
  const auto a = tensors_of({6, 10});
  auto b = copy_of({a}).front();
  b.gradient = a.gradient.t().contiguous().t();
  adamw_step_({a}, kOptions);
  adamw_step_({b}, kOptions);
  expect_same({a}, {b});
}

TEST(Adamw, RefusesWhatDoesNotFit) {
  const auto good = tensors_of({4, 4});
  const auto with = [&](auto change) {
    auto t = good;
    change(t);
    return std::vector<AdamwTensors>{t};
  };
  EXPECT_THROW(adamw_step_(with([](auto& t) { t.first = at::zeros({4}); }), kOptions), ShapeError);
  EXPECT_THROW(adamw_step_(with([](auto& t) { t.second = at::zeros({4, 4}, at::kDouble); }), kOptions), ShapeError);
  EXPECT_THROW(adamw_step_(with([](auto& t) { t.average = t.average.t(); }), kOptions), ShapeError);
  EXPECT_THROW(adamw_step_(with([](auto& t) { t.gradient = at::zeros({4}); }), kOptions), ShapeError);
  EXPECT_THROW(adamw_step_(with([](auto& t) { t.step = 0; }), kOptions), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
