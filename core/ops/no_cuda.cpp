// SPDX-License-Identifier: Apache-2.0
// The CUDA launchers of a build without CUDA.
#include "core/check.h"
#include "core/ops/cuda_elements.h"

namespace polyphony::ops {
namespace {

[[noreturn]] void refuse(const char* name) {
  fail<DeviceError>("[", name, "] this build has no CUDA kernels; expected CPU tensors, got CUDA tensors");
}

}  // namespace

void launch(const PermuteRowsElement<float>&) { refuse("permute_rows"); }
void launch(const PermuteRowsElement<c10::BFloat16>&) { refuse("permute_rows"); }
void launch(const CombineRowsElement<float>&) { refuse("combine_rows"); }
void launch(const CombineRowsElement<c10::BFloat16>&) { refuse("combine_rows"); }
void launch(const GatedActivationElement<float>&) { refuse("gated_activation"); }
void launch(const GatedActivationElement<c10::BFloat16>&) { refuse("gated_activation"); }
void launch(const GatedActivationGradient<float>&) { refuse("gated_activation"); }
void launch(const GatedActivationGradient<c10::BFloat16>&) { refuse("gated_activation"); }
void launch(const TopkSoftmaxElement&) { refuse("topk_softmax"); }

}  // namespace polyphony::ops
