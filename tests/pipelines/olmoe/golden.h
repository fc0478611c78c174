// SPDX-License-Identifier: Apache-2.0
// The folders that transformers wrote, and what it made of them (scripts/golden/tiny_olmoe.py).
#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/tensor_io.h"
#include "pipelines/olmoe/folder.h"

namespace polyphony::pipelines {

inline std::filesystem::path olmoe_golden(const std::string& name) {
  return std::filesystem::path(POLYPHONY_SOURCE_DIR) / "tests/golden/olmoe" / name;
}
inline TensorMap olmoe_io(const std::string& name) { return load_tensors(olmoe_golden(name) / "io.safetensors"); }

inline double largest_error(const at::Tensor& actual, const at::Tensor& expected) {
  return (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>();
}
inline double rms(const at::Tensor& x) { return x.to(at::kDouble).square().mean().sqrt().item<double>(); }

}  // namespace polyphony::pipelines
