// SPDX-License-Identifier: Apache-2.0
#include "core/base/xml.h"

#include <gtest/gtest.h>

namespace polyphony {
namespace {

TEST(XmlEscaped, LeavesNothingThatEndsAnAttributeOrAText) {
  EXPECT_EQ(xml_escaped("a & b < c > \"d\""), "a &amp; b &lt; c &gt; &quot;d&quot;");
  EXPECT_EQ(xml_escaped("&amp;"), "&amp;amp;");
  EXPECT_EQ(xml_escaped(""), "");
}

}  // namespace
}  // namespace polyphony
