// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_shim/fibre.h"

#include <utility>

// Null in a program without the address sanitizer, which must be told of every change of the stack.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom_old, size_t* size_old);
}

namespace polyphony::cuda_shim {
namespace {

constexpr size_t kStackBytes = size_t{64} << 10;

Fibre* running = nullptr;

void announce(void** fake_stack, const void* bottom, size_t size) {
  if (__sanitizer_start_switch_fiber != nullptr) __sanitizer_start_switch_fiber(fake_stack, bottom, size);
}
void arrived(void* fake_stack, const void** bottom, size_t* size) {
  if (__sanitizer_finish_switch_fiber != nullptr) __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
}

}  // namespace

Fibre::Fibre() : stack_(std::make_unique<std::byte[]>(kStackBytes)) {}

void Fibre::begin(const std::function<void()>& body) {
  body_ = &body;
  ended_ = false;
  error_ = nullptr;
  own_fake_stack_ = nullptr;
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_.get();
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &Fibre::enter, 0);
}

void Fibre::resume() {
  running = this;
  void* fake_stack = nullptr;
  announce(&fake_stack, stack_.get(), kStackBytes);
  swapcontext(&resumer_, &own_);
  arrived(fake_stack, nullptr, nullptr);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Fibre::pause() {
  Fibre& self = *running;
  announce(&self.own_fake_stack_, self.resumer_stack_, self.resumer_stack_size_);
  swapcontext(&self.own_, &self.resumer_);
  arrived(self.own_fake_stack_, &self.resumer_stack_, &self.resumer_stack_size_);
}

void Fibre::enter() {
  Fibre& self = *running;
  arrived(nullptr, &self.resumer_stack_, &self.resumer_stack_size_);
  try {
    (*self.body_)();
  } catch (...) {
    self.error_ = std::current_exception();
  }
  self.ended_ = true;
  announce(nullptr, self.resumer_stack_, self.resumer_stack_size_);
  swapcontext(&self.own_, &self.resumer_);
}

}  // namespace polyphony::cuda_shim
