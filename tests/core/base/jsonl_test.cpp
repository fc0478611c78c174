// SPDX-License-Identifier: Apache-2.0
#include "core/base/jsonl.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/error.h"

namespace polyphony {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Jsonl : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "polyphony_jsonl_test";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    path_ = folder_ + "/journal.jsonl";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void put(std::string_view text) { std::ofstream(path_, std::ios::binary) << text; }
  // The values read, as text.
  std::vector<std::string> lines(uint64_t max_line_bytes = kMaxJsonLineBytes) {
    std::vector<std::string> out;
    bad_ = read_jsonl(
        path_, [&](const nlohmann::json& value, int64_t) { out.push_back(value.dump()); }, max_line_bytes);
    return out;
  }

  std::string folder_, path_;
  std::vector<BadLine> bad_;
};

TEST_F(Jsonl, WhatWasWrittenIsReadBackAndAppendingGoesOn) {
  JsonlWriter(path_).write({{"id", 1}, {"text", "line\nend"}});
  JsonlWriter(path_).write({{"id", 2}});
  EXPECT_THAT(lines(), ElementsAre(R"({"id":1,"text":"line\nend"})", R"({"id":2})"));
  EXPECT_TRUE(bad_.empty());
}

TEST_F(Jsonl, ATornLastLineIsDroppedOnResume) {
  put("{\"id\":1}\n{\"id\":2");
  JsonlWriter writer(path_);
  EXPECT_EQ(writer.dropped_bytes(), 7u);
  writer.write({{"id", 3}});
  EXPECT_THAT(lines(), ElementsAre(R"({"id":1})", R"({"id":3})"));
}

TEST_F(Jsonl, ATornLineLongerThanABlockIsDroppedWhole) {
  put("{\"id\":1}\n\"" + std::string(200000, 'x'));
  EXPECT_EQ(JsonlWriter(path_).dropped_bytes(), 200001u);
  EXPECT_THAT(lines(), ElementsAre(R"({"id":1})"));
  put("\"" + std::string(200000, 'x'));
  EXPECT_EQ(JsonlWriter(path_).dropped_bytes(), 200001u);
  EXPECT_EQ(std::filesystem::file_size(path_), 0u);
}

TEST_F(Jsonl, ReadingGoesOnAfterABadLineAndNamesIt) {
  put("{\"id\":1}\r\n\nnonsense\n" + std::string(100, '[') + "\n[1]\n\"" + std::string(300, 'y') + "\"\n{\"id\":");
  EXPECT_THAT(lines(200), ElementsAre(R"({"id":1})", "[1]"));
  ASSERT_EQ(bad_.size(), 4u);
  EXPECT_EQ(bad_[0].line, 3);
  EXPECT_EQ(bad_[0].reason, "not JSON: nonsense");
  EXPECT_THAT(bad_[1].reason, HasSubstr("nested deeper than 64"));
  EXPECT_EQ(bad_[2].line, 6);
  EXPECT_THAT(bad_[2].reason, HasSubstr("longer than 200 B"));
  EXPECT_THAT(bad_[3].reason, HasSubstr("cut short"));
}

TEST_F(Jsonl, BytesThatAreNoUtf8AreReplaced) {
  JsonlWriter(path_).write({{"name", "a\xFF"}});
  EXPECT_THAT(lines(), ElementsAre("{\"name\":\"a\xEF\xBF\xBD\"}"));
}

TEST_F(Jsonl, OnlyOneWriterAtATime) {
  const JsonlWriter writer(path_);
  EXPECT_THROW(JsonlWriter{path_}, DataError);
}

TEST_F(Jsonl, WhatIsNoRegularFileIsRefusedWithoutWaiting) {
  EXPECT_THROW(JsonlWriter{folder_}, Error);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THROW(JsonlWriter{path_}, Error);
  EXPECT_THROW(lines(), DataError);
}

TEST_F(Jsonl, AFullDiskIsAnError) { EXPECT_THROW(JsonlWriter("/dev/full"), DataError); }

}  // namespace
}  // namespace polyphony
