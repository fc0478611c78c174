// SPDX-License-Identifier: Apache-2.0
#include "core/base/cpu_level.h"

#include <gtest/gtest.h>

namespace polyphony {
namespace {

TEST(CpuLevel, IsNeverAboveTheMachines) { EXPECT_LE(cpu_level(), highest_cpu_level()); }

TEST(CpuLevel, NamesAreThoseOfTheEnvironmentVariable) {
  EXPECT_EQ(to_string(CpuLevel::plain), "plain");
  EXPECT_EQ(to_string(CpuLevel::avx2), "avx2");
  EXPECT_EQ(to_string(CpuLevel::avx512_bf16), "avx512_bf16");
  EXPECT_EQ(to_string(CpuLevel::amx), "amx");
}

}  // namespace
}  // namespace polyphony
