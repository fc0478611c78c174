// SPDX-License-Identifier: Apache-2.0
// Latin-1 survives the way to UTF-8 and back.
#include "core/formats/latin1.h"

#include <gtest/gtest.h>

#include "core/base/text.h"

namespace polyphony::formats {
namespace {

TEST(Latin1, SurvivesTheRoundTrip) {
  std::string latin1;
  for (int i = 0; i < 256; ++i) latin1 += static_cast<char>(i);
  EXPECT_TRUE(is_utf8(latin1_to_utf8(latin1)));
  EXPECT_EQ(utf8_to_latin1(latin1_to_utf8(latin1)), latin1);
  EXPECT_EQ(utf8_to_latin1("\u0100"), std::nullopt);
  EXPECT_EQ(utf8_to_latin1("\xff"), std::nullopt);
}

}  // namespace
}  // namespace polyphony::formats
