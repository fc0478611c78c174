// SPDX-License-Identifier: Apache-2.0
// The registry of routers: names, what each takes, and what it refuses.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/moe/routers/support.h"

// gtest assertions are if-else statements; a loop or condition around one line of them is clear to a reader.
#pragma GCC diagnostic ignored "-Wdangling-else"

namespace polyphony::moe {
namespace {

TEST(RouterRegistry, NamesTheKnownRoutersWhenAskedForAnotherOne) {
  try {
    make_router({.name = "nonesuch"});
    FAIL() << "expected ConfigError";
  } catch (const ConfigError& error) {
    for (const auto& row : router_infos()) EXPECT_NE(std::string(error.what()).find(row.name), std::string::npos);
  }
}

TEST(RouterRegistry, SaysOfEachRouterWhatItIsWhereItComesFromAndWhatItTakes) {
  for (const auto& row : router_infos()) {
    EXPECT_FALSE(row.summary.empty()) << row.name;
    EXPECT_FALSE(row.source.empty()) << row.name;
    EXPECT_EQ(router_defaults(row.name).name, row.name);
    for (const auto& option : row.options) EXPECT_TRUE(router_takes(row.name, option.key)) << option.key;
  }
}

TEST(RouterRegistry, RefusesEverySettingThatARouterDoesNotTake) {
  RouterConfig changed;
  changed.top_p = 0.9;
  changed.state_dim = 3;
  changed.hash_seed = 1;
  int refused = 0;
  for (const auto& row : router_infos())
    for (const auto& option : router_options()) {
      if (router_takes(row.name, option.key)) continue;
      auto config = router_defaults(row.name);
      config.model_dim = kWidth;
      config.num_experts = 8;
      if (value_of(option, changed) == value_of(option, RouterConfig{})) continue;
      std::visit([&](auto field) { config.*field = changed.*field; }, option.field);
      if (value_of(option, config) == value_of(option, router_defaults(row.name))) continue;
      EXPECT_THROW(make_router(config), ConfigError) << row.name << " " << option.key;
      ++refused;
    }
  EXPECT_GT(refused, 60);
}

TEST(RouterRegistry, RefusesEveryNumberOutsideItsRange) {
  for (const auto& row : router_infos())
    for (const auto& option : router_options()) {
      if (!router_takes(row.name, option.key)) continue;
      auto config = router_defaults(row.name);
      config.model_dim = kWidth;
      config.num_experts = 8;
      EXPECT_NO_THROW(make_router(config)) << row.name;
      if (const auto* number = std::get_if<double RouterConfig::*>(&option.field)) config.** number = -1;
      if (const auto* integer = std::get_if<int64_t RouterConfig::*>(&option.field)) config.** integer = -2;
      if (const auto* text = std::get_if<std::string RouterConfig::*>(&option.field)) config.** text = "nonesuch";
      if (!std::holds_alternative<bool RouterConfig::*>(option.field))
        EXPECT_THROW(make_router(config), ConfigError) << row.name << " " << option.key;
    }
}

}  // namespace
}  // namespace polyphony::moe
