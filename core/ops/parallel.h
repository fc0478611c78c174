// SPDX-License-Identifier: Apache-2.0
// Independent tasks on the threads of LibTorch, such that what a task computes never depends on the number of threads.
#pragma once
#include <ATen/Parallel.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <omp.h>

#include <atomic>
#include <exception>

// MKL's own switch, thread by thread; null where LibTorch was built without MKL.
extern "C" [[gnu::weak]] int MKL_Set_Num_Threads_Local(int num_threads);

namespace polyphony::ops {

// Rows that at::parallel_for hands to a thread at least, where a row is little work.
inline constexpr int64_t kRowsPerChunk = 64;

// Lets at:: calls go straight to their kernels: worker threads do not inherit the caller's grad and autocast modes.
class KernelsOnly {
  c10::impl::ExcludeDispatchKeyGuard guard_{c10::autograd_dispatch_keyset_with_ADInplaceOrView |
                                            c10::autocast_dispatch_keyset};
};

// Tells libraries inside a task that they have one thread: oneDNN and MKL order their sums by the threads that they
// might have, not by those that they get. OpenMP's number is the task's own, MKL's is given back.
class OneThread {
 public:
  OneThread() {
    omp_set_num_threads(1);
    if (MKL_Set_Num_Threads_Local != nullptr) before_ = MKL_Set_Num_Threads_Local(1);
  }
  ~OneThread() {
    if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(before_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = 0;
};

// Calls task(i) once for each i in [0, num_tasks), in any order, several at once. A matrix product inside a task runs
// on that task's thread alone: even one task is run inside a parallel region, so its bits do not depend on the number
// of threads. The first exception of a task is thrown again here, after the others have ended.
template <class Task>
void for_each_task(int64_t num_tasks, const Task& task) {
  if (num_tasks <= 0) return;
  if (at::in_parallel_region() || at::get_num_threads() == 1) {
    KernelsOnly guard;
    for (int64_t i = 0; i < num_tasks; ++i) task(i);
    return;
  }
  std::atomic<int64_t> next{0};
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;
#pragma omp parallel
  {
    KernelsOnly guard;
    c10::ParallelGuard in_region(true);
    OneThread one_thread;
    try {
      for (int64_t i = next++; i < num_tasks; i = next++) task(i);
    } catch (...) {
      next = num_tasks;
      if (!failed.test_and_set()) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace polyphony::ops
