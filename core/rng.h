// SPDX-License-Identifier: Apache-2.0
// Seeded random numbers: every stream of a run gets a generator of its own, derived from the run's one seed.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace polyphony {

// One step of SplitMix64: neighbouring inputs give unrelated outputs.
// Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators (OOPSLA 2014).
uint64_t split_mix(uint64_t x);

// The seed of stream `name` ("data", "noise", ...) at `index` (epoch, step, sample). Equal arguments give equal seeds
// on every machine.
uint64_t derive_seed(uint64_t seed, std::string_view name, uint64_t index = 0);

// A CPU generator of LibTorch.
at::Generator make_generator(uint64_t seed);

// u8: the whole state, to be saved in a checkpoint. Restoring throws DataError for bytes that are not such a state.
at::Tensor generator_state(const at::Generator& generator);
void restore_generator(at::Generator& generator, const at::Tensor& state);

}  // namespace polyphony
