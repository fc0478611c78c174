// SPDX-License-Identifier: Apache-2.0
// LibTorch says what went wrong in the type where it can, and in the words where it cannot.
#include "pipelines/torch_errors.h"

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "core/error.h"

namespace polyphony::pipelines {

void rethrow_translated() {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const c10::OutOfMemoryError& error) {
    throw MemoryError("[device memory] " + std::string(error.what_without_backtrace()));
  } catch (const c10::AcceleratorError& error) {
    throw DeviceError("[device] " + std::string(error.what_without_backtrace()));
  } catch (const c10::IndexError& error) {
    throw ShapeError("[tensor] " + std::string(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    const auto says = [&](const char* words) { return message.find(words) != std::string::npos; };
    // The CPU allocator throws a plain c10::Error ("DefaultCPUAllocator: can't allocate memory").
    if (says("DefaultCPUAllocator") || says("allocate memory")) throw MemoryError("[memory] " + message);
    if (says("CUDA error") || says("NCCL error")) throw DeviceError("[device] " + message);
    throw Error("[tensor library] " + message);
  }
}

}  // namespace polyphony::pipelines
