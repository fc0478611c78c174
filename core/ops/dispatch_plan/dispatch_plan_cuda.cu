// SPDX-License-Identifier: Apache-2.0
// What comes before and after the sorts of a dispatch plan: one thread an element.
#include "core/ops/cuda_launch.cuh"
#include "core/ops/dispatch_plan/dispatch_plan_kernels.h"

namespace polyphony::ops {
namespace {

constexpr int kThreads = 128;

__device__ inline int64_t element_index() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
LaunchShape one_thread_each(int64_t count) { return {(count + kThreads - 1) / kThreads, kThreads}; }

__global__ void plan_keys_kernel(PlanKeys in) {
  const int64_t n = element_index();
  if (n >= in.num_rows) return;
  const int64_t token = in.token_N[n];
  const int64_t expert = in.expert_N[n];
  const int row = static_cast<int>(n);
  if (token < 0 || token >= in.num_tokens) atomicMin(in.first_bad_2, row);
  if (expert < 0) atomicMin(in.first_bad_2 + 1, row);
  in.key_N[n] = static_cast<int32_t>(expert < in.num_experts ? expert : in.num_experts);
  in.index_N[n] = row;
}

__global__ void lower_bounds_kernel(LowerBounds in) {
  const int64_t key = element_index();
  if (key >= in.num_bounds) return;
  int64_t low = 0, high = in.num_rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (in.key_R[middle] < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  in.bound_K[key] = low;
}

__global__ void plan_rows_kernel(PlanRows in) {
  const int64_t r = element_index();
  if (r >= in.num_rows) return;
  const int64_t row = in.index_R[r];
  const int64_t token = in.token_N[row];
  in.row_R[r] = row;
  in.token_R[r] = token;
  in.expert_R[r] = in.key_R[r];
  in.token_key_R[r] = static_cast<int32_t>(token);
  in.slot_R[r] = static_cast<int32_t>(r);
}

}  // namespace

void launch(const PlanKeys& keys) { launch_kernel<plan_keys_kernel>(one_thread_each(keys.num_rows), keys); }
void launch(const LowerBounds& bounds) {
  launch_kernel<lower_bounds_kernel>(one_thread_each(bounds.num_bounds), bounds);
}
void launch(const PlanRows& rows) { launch_kernel<plan_rows_kernel>(one_thread_each(rows.num_rows), rows); }

}  // namespace polyphony::ops
