// SPDX-License-Identifier: Apache-2.0
// Runs the blocks and threads of a CUDA kernel on the CPU, one after another, and finds threads that do not meet.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <source_location>
#include <stdexcept>
#include <string>

namespace polyphony::cuda_shim {

inline constexpr unsigned kWarp = 32;

// What is wrong with a kernel: threads that wait for ever, a lane that takes no part, a launch that no GPU takes.
struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// In which order blocks, the warps of a block and the lanes of a warp run from now on: 0 ascending, 1 descending,
// others shuffled by that seed. A warp runs as far as it comes before the next one does.
void use_order(unsigned order);

struct Grid {
  std::string kernel;  // for messages and executed()
  int64_t blocks = 1;
  int threads = 1;
  int shared_bytes = 0;
};

// Runs `thread` once for each thread of the grid with threadIdx and the like set. Throws KernelError, and what a thread
// throws.
void run(const Grid& grid, const std::function<void()>& thread);

// The running block's shared memory: exactly its bytes, from the heap, all bits set when the block begins.
std::byte* shared_bytes();

// Where threads wait for each other: a block's barrier, or an operation of the lanes of `mask` in a warp.
struct Meeting {
  const char* name;
  bool whole_block;
  unsigned mask;
  std::source_location where;
};

// Brings `value` to a meeting, waits for the others, and returns what each lane of the warp has brought.
std::array<uint64_t, kWarp> meet(const Meeting& meeting, uint64_t value);

// Throws KernelError naming the kernel, block and running thread.
[[noreturn]] void fail(const std::string& problem);

// What ran so far, by kernel.
struct Executed {
  int64_t launches = 0;
  int64_t blocks = 0;
  int64_t threads = 0;
  double seconds = 0;
};
const std::map<std::string, Executed>& executed();

}  // namespace polyphony::cuda_shim

struct CudaShimIndex {
  unsigned x;
};
extern CudaShimIndex threadIdx, blockIdx, blockDim, gridDim;
