// SPDX-License-Identifier: Apache-2.0
#include "core/rng.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "core/error.h"

namespace polyphony {
namespace {

TEST(Rng, SplitMixGivesThePublishedSequence) {
  // First outputs of the reference generator seeded with 0: state 0, then one golden gamma.
  EXPECT_EQ(split_mix(0), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(split_mix(0x9E3779B97F4A7C15u), 0x6E789E6AA1B965F4u);
}

TEST(Rng, DerivedSeedsDifferByStreamAndIndex) {
  std::set<uint64_t> seeds;
  for (const char* name : {"data", "noise", "", "a", "ab"})
    for (uint64_t index = 0; index < 100; ++index) seeds.insert(derive_seed(1, name, index));
  EXPECT_EQ(seeds.size(), 500u);
  EXPECT_EQ(derive_seed(1, "data", 3), derive_seed(1, "data", 3));
  EXPECT_NE(derive_seed(1, "data", 3), derive_seed(2, "data", 3));
}

TEST(Rng, ARestoredGeneratorGoesOnWhereTheSavedOneWas) {
  at::Generator generator = make_generator(5);
  at::randn({13}, generator);
  const at::Tensor state = generator_state(generator);
  const at::Tensor expected = at::randn({20}, generator);
  at::Generator other = make_generator(6);
  restore_generator(other, state);
  EXPECT_TRUE(at::equal(at::randn({20}, other), expected));
}

TEST(Rng, RefusesBytesThatAreNoState) {
  at::Generator generator = make_generator(5);
  EXPECT_THROW(restore_generator(generator, at::zeros({7}, at::kByte)), DataError);
  EXPECT_THROW(restore_generator(generator, at::zeros({generator_state(generator).numel()}, at::kByte)), DataError);
  EXPECT_THROW(restore_generator(generator, at::Tensor()), DataError);
}

}  // namespace
}  // namespace polyphony
