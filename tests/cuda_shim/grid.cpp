// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_shim/grid.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>
#include <vector>

#include "tests/cuda_shim/fibre.h"

CudaShimIndex threadIdx{}, blockIdx{}, blockDim{}, gridDim{};

namespace polyphony::cuda_shim {
namespace {

// Of every GPU since sm_80, for kernels that ask for nothing special.
constexpr int kMaxThreads = 1024;
constexpr int kMaxSharedBytes = 48 << 10;

struct Thread {
  explicit Thread(Fibre& own) : fibre(own) {}
  Fibre& fibre;
  std::optional<Meeting> waits;
  uint64_t brings = 0;
  std::array<uint64_t, kWarp> received{};
};

unsigned order_in_use = 0;
Grid running_grid;
std::vector<Thread> threads;  // of the running block
std::unique_ptr<std::byte[]> shared_memory;
std::map<std::string, Executed> executed_kernels;

// Stacks are kept: a block needs as many as it has threads.
Fibre& fibre(size_t i) {
  static std::deque<Fibre> fibres;
  while (fibres.size() <= i) fibres.emplace_back();
  return fibres[i];
}

std::vector<size_t> order_of(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (order_in_use == 1) std::reverse(order.begin(), order.end());
  if (order_in_use > 1) std::shuffle(order.begin(), order.end(), std::mt19937(order_in_use));
  return order;
}

bool same(const Meeting& a, const Meeting& b) {
  return std::strcmp(a.name, b.name) == 0 && a.mask == b.mask && a.where.line() == b.where.line() &&
         std::strcmp(a.where.file_name(), b.where.file_name()) == 0;
}

bool waits_at(size_t thread, const Meeting& meeting) {
  return thread < threads.size() && threads[thread].waits && same(*threads[thread].waits, meeting);
}

// Threads that must come to a meeting of this thread.
std::vector<size_t> invited(size_t thread, const Meeting& meeting) {
  std::vector<size_t> all;
  if (meeting.whole_block) {
    for (size_t i = 0; i < threads.size(); ++i) all.push_back(i);
    return all;
  }
  for (unsigned lane = 0; lane < kWarp; ++lane)
    if (meeting.mask >> lane & 1) all.push_back(thread / kWarp * kWarp + lane);
  return all;
}

// Lets the threads of a complete meeting go on. Returns false if somebody is missing.
bool try_to_hold(size_t thread) {
  const Meeting meeting = *threads[thread].waits;
  const auto all = invited(thread, meeting);
  if (!std::all_of(all.begin(), all.end(), [&](size_t i) { return waits_at(i, meeting); })) return false;
  std::array<uint64_t, kWarp> brought{};
  if (!meeting.whole_block)
    for (size_t i : all) brought[i % kWarp] = threads[i].brings;
  for (size_t i : all) {
    threads[i].received = brought;
    threads[i].waits.reset();
  }
  return true;
}

std::string state_of(size_t thread) {
  if (thread >= threads.size()) return "does not exist";
  const auto& waits = threads[thread].waits;
  if (!waits) return "has ended";
  std::ostringstream out;
  out << "waits at " << waits->name;
  if (!waits->whole_block) out << " with mask 0x" << std::hex << waits->mask << std::dec;
  const std::string file = waits->where.file_name();
  out << " (" << file.substr(file.rfind('/') + 1) << ":" << waits->where.line() << ")";
  return out.str();
}

[[noreturn]] void report_deadlock() {
  const auto waiting = std::find_if(threads.begin(), threads.end(), [](const Thread& t) { return t.waits; });
  const auto thread = static_cast<size_t>(waiting - threads.begin());
  const auto all = invited(thread, *waiting->waits);
  const auto missing = std::find_if(all.begin(), all.end(), [&](size_t i) { return !waits_at(i, *waiting->waits); });
  threadIdx.x = static_cast<unsigned>(thread);
  fail(state_of(thread) + ", thread " + std::to_string(*missing) + " " + state_of(*missing));
}

// Holds the meetings of these threads that are complete, the block's or those of warps; true if there was one.
bool hold_meetings(size_t first, size_t count, bool of_block) {
  bool any = false;
  for (size_t i = first; i < std::min(first + count, threads.size()); ++i)
    if (threads[i].waits && threads[i].waits->whole_block == of_block) any |= try_to_hold(i);
  return any;
}

// Runs a warp as far as it comes without the others: to the block's barrier or to the end. Whoever reads what another
// warp has yet to write, or writes what another has yet to read, is seen by this.
void run_warp(size_t first, const std::vector<size_t>& lanes) {
  do {
    for (size_t lane : lanes) {
      const size_t i = first + lane;
      if (i >= threads.size() || threads[i].waits || threads[i].fibre.ended()) continue;
      threadIdx.x = static_cast<unsigned>(i);
      threads[i].fibre.resume();
    }
  } while (hold_meetings(first, kWarp, false));
}

void run_block(const std::function<void()>& body) {
  const auto count = static_cast<size_t>(running_grid.threads);
  const auto bytes = static_cast<size_t>(running_grid.shared_bytes);
  shared_memory.reset(new std::byte[bytes]);
  std::memset(shared_memory.get(), 0xFF, bytes);  // NaN as a float, -1 as an integer
  threads.clear();
  for (size_t i = 0; i < count; ++i) {
    threads.emplace_back(fibre(i));
    threads[i].fibre.begin(body);
  }
  const auto warps = order_of((count + kWarp - 1) / kWarp);
  const auto lanes = order_of(kWarp);
  for (;;) {
    for (size_t warp : warps) run_warp(warp * kWarp, lanes);
    if (std::all_of(threads.begin(), threads.end(), [](const Thread& t) { return t.fibre.ended(); })) return;
    if (!hold_meetings(0, count, true)) report_deadlock();
  }
}

}  // namespace

void use_order(unsigned order) { order_in_use = order; }

void run(const Grid& grid, const std::function<void()>& thread) {
  const auto start = std::chrono::steady_clock::now();
  running_grid = grid;
  threadIdx.x = blockIdx.x = 0;
  if (grid.blocks < 1 || grid.blocks > std::numeric_limits<int32_t>::max() || grid.threads < 1 ||
      grid.threads > kMaxThreads || grid.shared_bytes < 0 || grid.shared_bytes > kMaxSharedBytes)
    fail("no GPU takes " + std::to_string(grid.blocks) + " blocks of " + std::to_string(grid.threads) +
         " threads and " + std::to_string(grid.shared_bytes) + " bytes");
  gridDim.x = static_cast<unsigned>(grid.blocks);
  blockDim.x = static_cast<unsigned>(grid.threads);
  for (size_t block : order_of(static_cast<size_t>(grid.blocks))) {
    blockIdx.x = static_cast<unsigned>(block);
    run_block(thread);
  }
  Executed& sum = executed_kernels[grid.kernel];
  sum.launches += 1;
  sum.blocks += grid.blocks;
  sum.threads += grid.blocks * grid.threads;
  sum.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::byte* shared_bytes() { return shared_memory.get(); }

std::array<uint64_t, kWarp> meet(const Meeting& meeting, uint64_t value) {
  Thread& self = threads[threadIdx.x];
  if (!meeting.whole_block && !(meeting.mask >> (threadIdx.x % kWarp) & 1))
    fail(std::string("calls ") + meeting.name + " with a mask that leaves it out");
  self.waits = meeting;
  self.brings = value;
  Fibre::pause();
  return self.received;
}

void fail(const std::string& problem) {
  throw KernelError("[" + running_grid.kernel + "] block " + std::to_string(blockIdx.x) + ", thread " +
                    std::to_string(threadIdx.x) + ": " + problem);
}

const std::map<std::string, Executed>& executed() { return executed_kernels; }

}  // namespace polyphony::cuda_shim
