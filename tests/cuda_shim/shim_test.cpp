// SPDX-License-Identifier: Apache-2.0
// The shim on kernels of its own: good ones, and bad ones that it must notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "core/ops/cuda_launch.cuh"
#include "tests/cuda_shim/coverage.h"

namespace polyphony::cuda_shim {
namespace {

using ops::launch_kernel;
using ops::shared_memory;
using ::testing::HasSubstr;

constexpr unsigned kAll = 0xffffffffu;
int ints(int count) { return count * static_cast<int>(sizeof(int)); }

template <auto kernel, class... Arguments>
std::string error_of(const ops::LaunchShape& shape, const Arguments&... arguments) {
  try {
    launch_kernel<kernel>(shape, arguments...);
  } catch (const KernelError& error) {
    return error.what();
  }
  return "no error";
}

__global__ void reverse_kernel(int* values) {
  int* shared = shared_memory<int>();
  shared[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  values[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST(CudaShim, BarrierSeparatesWritesFromReads) {
  for (const unsigned order : {0u, 1u, 5u}) {
    use_order(order);
    std::vector<int> values(3 * 70);
    std::iota(values.begin(), values.end(), 0);
    launch_kernel<reverse_kernel>({3, 70, ints(70)}, values.data());
    for (int i = 0; i < 210; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], i / 70 * 70 + 69 - i % 70);
  }
  use_order(0);
}

__global__ void shuffles_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int* mine = out + threadIdx.x * 6;
  mine[0] = __shfl_sync(kAll, lane, 5);
  mine[1] = __shfl_xor_sync(kAll, lane, 3);
  mine[2] = __shfl_up_sync(kAll, lane, 2);
  mine[3] = __shfl_down_sync(kAll, lane, 2);
  mine[4] = static_cast<int>(__ballot_sync(kAll, lane % 3 == 0));
  __syncwarp();
  mine[5] = lane < 7 ? __shfl_sync(0x7fu, lane, 6) : -1;  // some lanes among themselves
}

TEST(CudaShim, ShufflesAndBallotsExchangeWithinAWarp) {
  std::vector<int> out(64 * 6);
  launch_kernel<shuffles_kernel>({1, 64}, out.data());
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32;
    const int* mine = out.data() + t * 6;
    EXPECT_EQ(mine[0], 5);
    EXPECT_EQ(mine[1], lane ^ 3);
    EXPECT_EQ(mine[2], lane < 2 ? lane : lane - 2);
    EXPECT_EQ(mine[3], lane > 29 ? lane : lane + 2);
    EXPECT_EQ(static_cast<unsigned>(mine[4]), 0x49249249u);
    EXPECT_EQ(mine[5], lane < 7 ? 6 : -1);
  }
}

__global__ void atomics_kernel(int* sum, int* least) {
  atomicAdd(sum, 1);
  atomicMin(least, -static_cast<int>(threadIdx.x));
}

TEST(CudaShim, AtomicsCountEveryThread) {
  int sum = 0, least = 9;
  launch_kernel<atomics_kernel>({7, 33}, &sum, &least);
  EXPECT_EQ(sum, 7 * 33);
  EXPECT_EQ(least, -32);
}

__global__ void peek_kernel(float* out) { out[threadIdx.x] = shared_memory<float>()[threadIdx.x]; }

TEST(CudaShim, SharedMemoryIsPoisonedForEachBlock) {
  std::vector<float> out(4, 0);
  launch_kernel<peek_kernel>({2, 4, ints(4)}, out.data());
  for (float f : out) EXPECT_TRUE(std::isnan(f));
}

__global__ void early_end_kernel() {
  if (threadIdx.x == 37) return;
  __syncthreads();
}

TEST(CudaShim, NoticesAThreadThatNeverReachesTheBarrier) {
  const auto error = error_of<early_end_kernel>({2, 64});
  EXPECT_THAT(error, HasSubstr("[early_end_kernel] block 0, thread 0: waits at __syncthreads (shim_test.cpp:"));
  EXPECT_THAT(error, HasSubstr("thread 37 has ended"));
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(CudaShim, NoticesThreadsAtDifferentBarriers) {
  EXPECT_THAT(error_of<two_barriers_kernel>({1, 64}), HasSubstr("thread 32 waits at __syncthreads"));
}

__global__ void divergent_shuffle_kernel(int* out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}

TEST(CudaShim, NoticesAShuffleWithInactiveLanes) {
  std::vector<int> out(32);
  const auto error = error_of<divergent_shuffle_kernel>({1, 32}, out.data());
  EXPECT_THAT(error, HasSubstr("waits at __shfl_xor_sync with mask 0xffffffff"));
  EXPECT_THAT(error, HasSubstr("thread 1 has ended"));
}

__global__ void outside_mask_kernel() { __shfl_sync(0x1u, 1, 0); }
__global__ void reads_outside_kernel() {
  if (threadIdx.x == 0) __shfl_sync(0x1u, 1, 4);
}
__global__ void full_mask_kernel() { __ballot_sync(kAll, true); }

TEST(CudaShim, NoticesMasksThatDoNotFitTheLanes) {
  EXPECT_THAT(error_of<outside_mask_kernel>({1, 2}), HasSubstr("with a mask that leaves it out"));
  EXPECT_THAT(error_of<reads_outside_kernel>({1, 32}), HasSubstr("reads lane 4, which takes no part"));
  EXPECT_THAT(error_of<full_mask_kernel>({1, 40}), HasSubstr("thread 40 does not exist"));
}

TEST(CudaShim, NoticesLaunchesThatNoGpuTakes) {
  EXPECT_THAT(error_of<full_mask_kernel>({1, 1025}), HasSubstr("no GPU takes"));
  EXPECT_THAT(error_of<full_mask_kernel>({int64_t{1} << 31, 32}), HasSubstr("no GPU takes"));
  EXPECT_THAT(error_of<full_mask_kernel>({1, 32, 49153}), HasSubstr("no GPU takes"));
  EXPECT_EQ(error_of<full_mask_kernel>({0, 32}), "no error") << "nothing is launched";
}

TEST(CudaShim, WorksAfterAFailedLaunch) {
  EXPECT_NE(error_of<early_end_kernel>({2, 64}), "no error");
  std::vector<int> values = {1, 2, 3};
  launch_kernel<reverse_kernel>({1, 3, ints(3)}, values.data());
  EXPECT_EQ(values, (std::vector<int>{3, 2, 1}));
}

__global__ void racing_kernel(int* out) {
  int* shared = shared_memory<int>();
  shared[0] = static_cast<int>(threadIdx.x);
  __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = shared[0];
  out[gridDim.x] = static_cast<int>(blockIdx.x);
}

TEST(CudaShim, OrdersOfThreadsAndBlocksMakeARaceVisible) {
  const auto run = [](unsigned order) {
    use_order(order);
    std::vector<int> out(5);
    launch_kernel<racing_kernel>({4, 33, ints(1)}, out.data());
    use_order(0);
    return out;
  };
  EXPECT_EQ(run(0), (std::vector<int>{32, 32, 32, 32, 3}));
  EXPECT_EQ(run(1), (std::vector<int>{0, 0, 0, 0, 0}));
}

// Each warp says how far the first has come; with no barrier in between the answer hangs on the order.
__global__ void running_ahead_kernel(int* out) {
  int* shared = shared_memory<int>();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int round = 0; round < 5; ++round) {
    if (threadIdx.x == 0) shared[0] = round;
    __ballot_sync(kAll, true);
  }
  out[warp] = shared[0];
}

TEST(CudaShim, LetsAWarpRunAheadOfTheOthers) {
  std::vector<int> out(2);
  launch_kernel<running_ahead_kernel>({1, 64, ints(1)}, out.data());
  EXPECT_EQ(out, (std::vector<int>{4, 4}));
  use_order(1);
  launch_kernel<running_ahead_kernel>({1, 64, ints(1)}, out.data());
  use_order(0);
  EXPECT_EQ(out, (std::vector<int>{4, -1})) << "the last warp ends before the first begins";
}

__global__ void global_overrun_kernel(int* out) { out[threadIdx.x] = 1; }
__global__ void shared_overrun_kernel() { shared_memory<int>()[threadIdx.x] = 1; }
__global__ void overflow_kernel(int* out) { *out += 1; }

TEST(CudaShimDeathTest, SanitizersSeeWhatThreadsDo) {
  const std::unique_ptr<int[]> values(new int[31]);
  EXPECT_DEATH(launch_kernel<global_overrun_kernel>({1, 32}, values.get()), "heap-buffer-overflow");
  EXPECT_DEATH(launch_kernel<shared_overrun_kernel>({1, 32, ints(31)}), "heap-buffer-overflow");
  int most = 2147483647;
  EXPECT_DEATH(launch_kernel<overflow_kernel>({1, 1}, &most), "signed integer overflow");
}

TEST(CudaShimCoverage, ReadsTheKernelsOfASource) {
  EXPECT_EQ(kernels_of("// a __global__ word\ntemplate <class T>\n__global__ void one_kernel(T t) {}\n"
                       "__global__ void two_kernel(\nint i) {}"),
            (std::set<std::string>{"one_kernel", "two_kernel"}));
  EXPECT_THROW(kernels_of("__global__ __launch_bounds__(1) void k() {}"), std::runtime_error);
  EXPECT_THROW(kernels_of("void f() { k<<<1, 2>>>(); }"), std::runtime_error);
  EXPECT_THROW(kernels_of("__device__ void f() { __shared__ int i; }"), std::runtime_error);
}

TEST(CudaShimCoverage, NamesKernelsThatDidNotRun) {
  int most = 0;
  launch_kernel<overflow_kernel>({1, 1}, &most);
  EXPECT_EQ(coverage_faults({"overflow_kernel"}).size(), 0u);
  EXPECT_THAT(coverage_faults({"overflow_kernel", "new_kernel"}),
              ::testing::ElementsAre("new_kernel is a kernel that no test has run"));
}

}  // namespace
}  // namespace polyphony::cuda_shim
