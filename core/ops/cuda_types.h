// SPDX-License-Identifier: Apache-2.0
// Chooses the type that a CUDA kernel is compiled for.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include "core/check.h"

namespace polyphony::ops {

// Calls body(T{}) with T the type of t's values, on t's device. Throws DeviceError unless they are f32 or bf16.
template <class Body>
void with_cuda_type(const at::Tensor& t, const Body& body) {
  const c10::DeviceGuard guard(t.device());
  if (t.scalar_type() == at::kFloat) return body(float{});
  check<DeviceError>(t.scalar_type() == at::kBFloat16, "[ops] on a GPU expected f32 or bf16, got ", t.scalar_type());
  body(c10::BFloat16{});
}

}  // namespace polyphony::ops
