// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/sampling.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::latent {

at::Tensor guide(const at::Tensor& conditional, const at::Tensor& unconditional, const GuidanceOptions& options) {
  check<ShapeError>(conditional.dim() >= 2 && conditional.sizes() == unconditional.sizes(),
                    "[guide] expected two predictions (B, C, ...) of one shape, got ", conditional.sizes(), " and ",
                    unconditional.sizes());
  const int64_t all = conditional.size(1), guided = options.channels == 0 ? all : options.channels;
  check<ShapeError>(guided >= 1 && guided <= all, "[guide] channels must be in [0, ", all, "], got ", options.channels);
  const auto mix = [&](const at::Tensor& with, const at::Tensor& without) {
    return without + options.scale * (with - without);
  };
  if (guided == all) return mix(conditional, unconditional);
  const at::Tensor head = mix(conditional.narrow(1, 0, guided), unconditional.narrow(1, 0, guided));
  return at::cat({head, conditional.narrow(1, guided, all - guided)}, 1);
}

}  // namespace polyphony::latent
