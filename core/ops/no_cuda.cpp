// SPDX-License-Identifier: Apache-2.0
// The CUDA launchers of a build without CUDA.
#include "core/check.h"
#include "core/ops/combine_rows/combine_rows_kernels.h"
#include "core/ops/dispatch_plan/dispatch_plan_kernels.h"
#include "core/ops/gated_activation/gated_activation_kernels.h"
#include "core/ops/permute_rows/permute_rows_kernels.h"
#include "core/ops/quantized_matvec/quantized_matvec_kernels.h"
#include "core/ops/topk_softmax/topk_softmax_kernels.h"

namespace polyphony::ops {
namespace {

[[noreturn]] void refuse(const char* name) {
  fail<DeviceError>("[", name, "] this build has no CUDA kernels; expected CPU tensors, got CUDA tensors");
}

}  // namespace

void launch(const GatherRows&) { refuse("permute_rows"); }
void launch(const SumRows<float>&) { refuse("combine_rows"); }
void launch(const SumRows<c10::BFloat16>&) { refuse("combine_rows"); }
void launch(const CombineGradient<float>&) { refuse("combine_rows"); }
void launch(const CombineGradient<c10::BFloat16>&) { refuse("combine_rows"); }
void launch(const GatedActivationRows<float>&) { refuse("gated_activation"); }
void launch(const GatedActivationRows<c10::BFloat16>&) { refuse("gated_activation"); }
void launch(const GatedActivationGradientRows<float>&) { refuse("gated_activation"); }
void launch(const GatedActivationGradientRows<c10::BFloat16>&) { refuse("gated_activation"); }
void launch(const TopkSoftmaxRows&) { refuse("topk_softmax"); }
void launch(const TopkSoftmaxGradientRows&) { refuse("topk_softmax"); }
void launch(const PlanKeys&) { refuse("dispatch_plan"); }
void launch(const SortPass&) { refuse("dispatch_plan"); }
void launch(const LowerBounds&) { refuse("dispatch_plan"); }
void launch(const PlanRows&) { refuse("dispatch_plan"); }
int64_t sort_scratch(int64_t) { refuse("dispatch_plan"); }
void launch(const QuantizedMatvec<float>&) { refuse("quantized_matvec"); }
void launch(const QuantizedMatvec<c10::BFloat16>&) { refuse("quantized_matvec"); }

}  // namespace polyphony::ops
