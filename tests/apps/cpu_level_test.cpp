// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/apps/child.h"

namespace polyphony::testing {
namespace {

ChildOptions with_level(const std::string& level) {
  ChildOptions options;
  options.environment = {{"POLYPHONY_CPU_LEVEL", level}};
  return options;
}

TEST(CpuLevelOfTheProgram, CanBeLoweredByTheEnvironment) {
  const auto result = run_child({"--version"}, with_level("plain"));
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.out.find("processor level plain"), std::string::npos) << result.out;
}

TEST(CpuLevelOfTheProgram, ThatIsNotThereIsRefusedBeforeWorkBegins) {
  const auto result = run_child({"doctor"}, with_level("warp"));
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("[POLYPHONY_CPU_LEVEL] expected a level of this machine (plain"), std::string::npos)
      << result.err;
}

}  // namespace
}  // namespace polyphony::testing
