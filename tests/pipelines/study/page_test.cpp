// SPDX-License-Identifier: Apache-2.0
// The page and its figures come from the records alone, and the page in docs/ is the one that they give.
#include "pipelines/study/page.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/base/files.h"
#include "core/error.h"
#include "pipelines/study/figure.h"
#include "tests/support/expect_error.h"
#include "tests/support/made_up_study.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::pipelines {
namespace {

using testing::made_up_record;
using testing::TemporaryFolder;

int64_t count(const std::string& text, const std::string& part) {
  int64_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(EvidencePage, SaysWhatWasClaimedRunAndSeen) {
  const TemporaryFolder folder;
  write_record(folder.path(), made_up_record());
  const auto page = evidence_page(read_evidence(folder.path()), "evidence");
  EXPECT_NE(page.find("## A made-up study"), std::string::npos);
  EXPECT_NE(page.find("nowhere, section 0"), std::string::npos);
  EXPECT_NE(page.find("Nothing is trained."), std::string::npos);
  EXPECT_NE(page.find("It shows nothing."), std::string::npos);
  EXPECT_NE(page.find("**Holds.** New is lower. (held-out loss: *new* 1.15, *a/b <old>* 2.15; 2 of 2 seeds agree)"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("**Does not hold.** New is half of old. (held-out loss: *new* 1.15, 0.5 times *a/b <old>* 1.075; "
                      "0 of 2 seeds agree)"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("| 1 of 2 | 4 | 6.0 s |"), std::string::npos) << page;
  EXPECT_NE(page.find("| new | the one | 1.15 ± 0.07071 |"), std::string::npos) << page;
  EXPECT_NE(page.find("(evidence/made_up.svg)"), std::string::npos);
  EXPECT_NE(page.find("`polyphony study run made_up`"), std::string::npos);
}

TEST(EvidencePage, IsWrittenBesideTheFolderWithEveryFigure) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "evidence");
  write_record(folder / "evidence", made_up_record());
  for (const char* name : {"evidence", "evidence/"})
    EXPECT_EQ(write_evidence_page(folder / name), folder / "evidence.md");
  EXPECT_EQ(read_file(folder / "evidence.md", 1u << 20),
            evidence_page({read_record(folder / "evidence/made_up.json")}, "evidence"));
  EXPECT_EQ(read_file(folder / "evidence/made_up.svg", 1u << 20), study_figure(made_up_record()));
}

TEST(EvidencePage, RefusesQuickRunsAndFilesThatAreNoRecords) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "evidence");
  auto record = made_up_record();
  record.quick = true;
  write_record(folder / "evidence", record);
  EXPECT_REFUSED(DataError, write_evidence_page(folder / "evidence"), "made_up.json", "no evidence");
  std::ofstream(folder / "evidence/made_up.json") << "{\"schema\":";
  EXPECT_REFUSED(DataError, write_evidence_page(folder / "evidence"), "made_up.json");
  EXPECT_FALSE(std::filesystem::exists(folder / "evidence.md"));
}

TEST(EvidencePage, TheOneInTheDocumentsIsMadeOfItsRecords) {
  const std::filesystem::path docs = POLYPHONY_SOURCE_DIR "/docs";
  EXPECT_EQ(read_file(docs / "evidence.md", 1u << 22), evidence_page(read_evidence(docs / "evidence"), "evidence"))
      << "make it again with 'polyphony study page'";
}

TEST(StudyFigure, HasADotForEachSeedAndALineAtEachMean) {
  const auto figure = study_figure(made_up_record());
  EXPECT_EQ(count(figure, "<circle"), 4);
  EXPECT_EQ(count(figure, "stroke-width=\"2.5\""), 2);
  EXPECT_NE(figure.find("width=\"700.0\""), std::string::npos);
  EXPECT_NE(figure.find(">held-out loss</text>"), std::string::npos);
  EXPECT_NE(figure.find(">a/b &lt;old&gt;</text>"), std::string::npos);
  EXPECT_EQ(count(figure, "<old>"), 0);
  EXPECT_EQ(figure, study_figure(made_up_record()));
}

TEST(StudyFigure, ShowsABoundAndOneValueAlone) {
  auto record = made_up_record();
  record.study.claims = {{.text = "t", .metric = "loss", .arm = "new", .than = "", .factor = 1.1}};
  EXPECT_EQ(count(study_figure(record), "stroke-dasharray"), 1);
  record.runs.resize(1);
  record.study.claims[0].factor = record.runs[0].metrics["loss"];
  EXPECT_EQ(count(study_figure(record), "<circle"), 1);
  EXPECT_EQ(count(study_figure(record), "nan"), 0);
}

}  // namespace
}  // namespace polyphony::pipelines
