// SPDX-License-Identifier: Apache-2.0
// A function that can pause: what one thread of a CUDA block is on the CPU.
#pragma once
#include <ucontext.h>

#include <exception>
#include <functional>
#include <memory>

namespace polyphony::cuda_shim {

class Fibre {
 public:
  Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // Makes `body` what the next resume begins with. A body that was left in the middle is forgotten; nothing on its
  // stack is destroyed.
  void begin(const std::function<void()>& body);

  // Runs the body until it pauses or ends. Throws what it throws.
  void resume();
  bool ended() const { return ended_; }

  // Called by the running body: back to resume.
  static void pause();

 private:
  static void enter();

  std::unique_ptr<std::byte[]> stack_;
  ucontext_t own_{};
  ucontext_t resumer_{};
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool ended_ = true;
  void* own_fake_stack_ = nullptr;  // the address sanitizer's
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_size_ = 0;
};

}  // namespace polyphony::cuda_shim
