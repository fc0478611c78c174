// SPDX-License-Identifier: Apache-2.0
// The copy hangs on the weight's own TensorImpl, in the slot that LibTorch leaves to backends: no table to search, to
// lock or to clean, and the copy goes when the weight goes.
#include "core/ops/bf16_copy/bf16_copy.h"

#include <ATen/ATen.h>

#include "core/base/cpu_level.h"
#include "core/check.h"
#include "core/ops/bf16_product/tiles.h"

namespace polyphony::ops {
namespace {

using Storage = c10::weak_intrusive_ptr<c10::StorageImpl>;  // keeps the name of freed memory from being given anew

struct Carried final : c10::BackendMeta {
  Carried(const at::Tensor& weight, at::Tensor values_)
      : values(std::move(values_)),
        storage(weight.storage().getWeakStorageImpl()),
        data(weight.const_data_ptr()),
        version(weight._version()) {}

  // A detached tensor may be changed without the weight's version.
  c10::intrusive_ptr<BackendMeta> clone(const c10::intrusive_ptr<BackendMeta>&) const override { return {}; }

  at::Tensor values;
  Storage storage;
  const void* data;
  int64_t version;
};

const Carried* carried(const at::Tensor& weight) {
  return dynamic_cast<const Carried*>(weight.unsafeGetTensorImpl()->get_backend_meta());
}

}  // namespace

void keep_bf16_copy(const at::Tensor& weight) {
  check<ShapeError>(weight.defined() && weight.is_cpu() && weight.scalar_type() == at::kFloat &&
                        weight.is_non_overlapping_and_dense(),
                    "[keep_bf16_copy] expected a f32 weight on the CPU without gaps");
  const at::Tensor copy = at::empty_like(weight.detach(), weight.options().dtype(at::kBFloat16));
  kernels_of(cpu_level())
      .round(weight.const_data_ptr<float>(), weight.numel(),
             reinterpret_cast<uint16_t*>(copy.mutable_data_ptr<at::BFloat16>()));
  carry_bf16_copy(weight, copy);
}

at::Tensor bf16_copy_or_self(const at::Tensor& weight) {
  const Carried* c = carried(weight);
  const bool holds = c != nullptr && c->version == weight._version() && carried_bf16_copy(weight).defined();
  return holds ? c->values : weight;
}

at::Tensor carried_bf16_copy(const at::Tensor& weight) {
  const Carried* c = carried(weight);
  const bool fits = c != nullptr && c->storage._unsafe_get_target() == weight.storage().unsafeGetStorageImpl() &&
                    c->data == weight.const_data_ptr() && c->values.sizes() == weight.sizes() &&
                    c->values.strides() == weight.strides();
  return fits ? c->values : at::Tensor();
}

void carry_bf16_copy(const at::Tensor& weight, const at::Tensor& copy) {
  weight.unsafeGetTensorImpl()->set_backend_meta(c10::make_intrusive<Carried>(weight, copy));
}

}  // namespace polyphony::ops
