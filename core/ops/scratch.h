// SPDX-License-Identifier: Apache-2.0
// Memory of a task that its thread keeps for the next one.
#pragma once
#include <cstdint>
#include <memory>
#include <new>

namespace polyphony::ops {

// Grows to what is asked for; aligned to cache lines, contents undefined. Meant to be static thread_local.
template <class T>
class Scratch {
 public:
  T* of(int64_t count) {
    if (count > size_) {
      data_.reset(static_cast<T*>(::operator new(sizeof(T) * static_cast<size_t>(count), std::align_val_t(64))));
      size_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

}  // namespace polyphony::ops
