// SPDX-License-Identifier: Apache-2.0
// The golden case of the published code, and how far a tensor may be from it.
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>

#include "core/tensor_io.h"
#include "pipelines/dit_moe/folder.h"
#include "pipelines/dit_moe/published.h"

namespace polyphony::pipelines {

inline const std::string kDitMoeGolden = POLYPHONY_SOURCE_DIR "/tests/golden/dit_moe";

inline const TensorMap& golden_io() {
  static const TensorMap io = load_tensors(kDitMoeGolden + "/io.safetensors");
  return io;
}
inline const at::Tensor& golden(const std::string& name) { return golden_io().at(name); }

inline std::shared_ptr<DitMoe> golden_model() { return load_dit_moe(kDitMoeGolden).model; }

// The golden weights in a model of another config of the same shapes.
inline std::shared_ptr<DitMoe> golden_model_as(const DitMoeConfig& config) {
  const auto model = std::make_shared<DitMoe>(config);
  load_into(published_views(config, state_of(*model)), "DiT-MoE", kDitMoeGolden + "/model.safetensors");
  model->eval();
  return model;
}

inline double largest_error(const at::Tensor& actual, const at::Tensor& expected) {
  return (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}
inline double rms(const at::Tensor& x) { return x.to(at::kDouble).square().mean().sqrt().item<double>(); }

// Fails above the tolerance; the error goes into the test report, from which the table in docs/dit_moe.md is made.
inline void expect_error_below(const std::string& name, double error, double tolerance) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.1e of %.0e", error, tolerance);
  testing::Test::RecordProperty("parity:" + name, text);
  EXPECT_LE(error, tolerance) << name;
}
// Largest absolute error.
inline void expect_golden(const std::string& name, const at::Tensor& actual, double tolerance = 1e-5) {
  ASSERT_EQ(actual.sizes(), golden(name).sizes()) << name;
  expect_error_below(name, largest_error(actual, golden(name)), tolerance);
}

}  // namespace polyphony::pipelines
