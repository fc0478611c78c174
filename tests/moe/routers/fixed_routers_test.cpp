// SPDX-License-Identifier: Apache-2.0
// The routers without parameters: hash and uniform.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/moe/routers/support.h"

namespace polyphony::moe {
namespace {

std::shared_ptr<Router> router_of(const std::string& name, int64_t seed = 0) {
  return make_router({.name = name, .model_dim = kWidth, .num_experts = 8, .hash_seed = seed});
}

TEST(HashRouter, SendsEqualIdsToEqualExpertsWhateverTheirHiddenStates) {
  auto c = random_context({.modalities = {Modality::text}, .groups = one_group(8)});
  c.token_id_T.fill_(77);
  const auto table = table_of(router_of("hash")->route(c));
  EXPECT_TRUE(at::equal(table, table.select(0, 0).expand_as(table)));
}

TEST(HashRouter, SpreadsManyIdsEvenlyAndDependsOnTheSeed) {
  auto c = random_context({.tokens = 4000, .modalities = {Modality::text}, .groups = one_group(8)});
  c.token_id_T = at::arange(4000);
  const auto r = router_of("hash")->route(c);
  const auto load = at::bincount(r.expert_N, {}, 8);
  EXPECT_GT(load.min().item<int64_t>(), 900);
  EXPECT_LT(load.max().item<int64_t>(), 1100);
  EXPECT_FALSE(at::equal(table_of(r), table_of(router_of("hash", 1)->route(c))));
}

TEST(HashRouter, NeedsTokenIds) {
  auto c = random_context({.groups = one_group(8)});
  c.token_id_T = at::Tensor();
  EXPECT_THROW(router_of("hash")->route(c), ShapeError);
}

TEST(UniformRouter, LoadsAllExpertsEqually) {
  const auto r = router_of("uniform")->route(random_context({.tokens = 32, .groups = one_group(8)}));
  EXPECT_TRUE((at::bincount(r.expert_N, {}, 8) == 8).all().item<bool>());
  EXPECT_TRUE((r.weight_N == 0.5).all().item<bool>());
}

}  // namespace
}  // namespace polyphony::moe
