// SPDX-License-Identifier: Apache-2.0
#include "core/rng.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/check.h"

namespace polyphony {

uint64_t split_mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t derive_seed(uint64_t seed, std::string_view name, uint64_t index) {
  uint64_t hash = split_mix(seed);
  for (const char c : name) hash = split_mix(hash ^ static_cast<unsigned char>(c));
  return split_mix(split_mix(hash ^ name.size()) ^ index);
}

at::Generator make_generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

at::Tensor generator_state(const at::Generator& generator) { return generator.get_state(); }

void restore_generator(at::Generator& generator, const at::Tensor& state) {
  check<DataError>(state.defined() && state.scalar_type() == at::kByte && state.dim() == 1 &&
                       state.numel() == generator.get_state().numel(),
                   "[rng] state must be u8 (", generator.get_state().numel(), ")");
  try {
    generator.set_state(state.cpu().contiguous());
  } catch (const c10::Error& error) {
    throw DataError(
        join("[rng] expected the state of a generator, got bytes that are not one: ", error.what_without_backtrace()));
  }
}

}  // namespace polyphony
