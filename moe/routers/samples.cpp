// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/samples.h"

#include <ATen/ATen.h>

#include "moe/routers/selection.h"

namespace polyphony::moe {

at::Tensor mean_of_samples(const at::Tensor& x_TD, const at::Tensor& sample_T) {
  const int64_t B = sample_T.size(0) > 0 ? sample_T.max().item<int64_t>() + 1 : 0;
  const auto x = x_TD.to(gate_dtype(x_TD));
  const auto count_B1 = at::bincount(sample_T, {}, B).clamp_min(1).unsqueeze(1);
  return at::zeros({B, x.size(1)}, x.options()).index_add(0, sample_T, x) / count_B1;
}

}  // namespace polyphony::moe
