// SPDX-License-Identifier: Apache-2.0
// Every study of the table is told completely; tests/apps/study_quick_test.cpp runs them.
#include "pipelines/study/study.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/files.h"
#include "core/error.h"
#include "pipelines/study/results.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

bool is_sentence(const std::string& text) { return text.size() > 10 && text.back() == '.'; }

TEST(Studies, AreToldCompletely) {
  std::set<std::string> names;
  for (const auto& study : studies()) {
    SCOPED_TRACE(study.name);
    EXPECT_TRUE(names.insert(study.name).second);
    EXPECT_TRUE(is_plain_file_name(study.name));
    EXPECT_FALSE(study.title.empty());
    EXPECT_FALSE(study.source.empty());
    EXPECT_TRUE(is_sentence(study.setting)) << study.setting;
    EXPECT_TRUE(study.caveat.empty() || is_sentence(study.caveat)) << study.caveat;
    EXPECT_GE(study.num_seeds, 3);
    EXPECT_GE(study.arms.size(), 2u);
    EXPECT_FALSE(study.claims.empty());
    std::set<std::filesystem::path> files;
    for (const auto& arm : study.arms) {
      EXPECT_TRUE(files.insert(run_file("x", {.study = study, .arm = arm, .seed = 1})).second) << arm.name;
      EXPECT_FALSE(arm.what.empty()) << arm.name;
      EXPECT_TRUE(arm.run != nullptr) << arm.name;
    }
    const auto has_arm = [&](const std::string& name) {
      return std::any_of(study.arms.begin(), study.arms.end(), [&](const auto& arm) { return arm.name == name; });
    };
    for (const auto& claim : study.claims) {
      EXPECT_TRUE(is_sentence(claim.text)) << claim.text;
      EXPECT_FALSE(claim.metric.empty()) << claim.text;
      EXPECT_TRUE(has_arm(claim.arm)) << claim.arm;
      EXPECT_TRUE(claim.than.empty() || has_arm(claim.than)) << claim.than;
    }
  }
}

TEST(Studies, AreFoundByName) {
  for (const auto& study : studies()) EXPECT_EQ(&study_named(study.name), &study);
  EXPECT_REFUSED(ConfigError, study_named("fine_graned"), "known are", "did you mean 'fine_grained'");
}

}  // namespace
}  // namespace polyphony::pipelines
