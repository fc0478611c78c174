// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/sequence.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace polyphony::pipelines {
namespace {

constexpr JointGrid kGrid{
    .latent_rows = 2, .latent_columns = 2, .image_rows = 1, .image_columns = 2, .begin_id = 1, .end_id = 2};

std::vector<int64_t> list(const at::Tensor& t) {
  const auto c = t.contiguous();
  return {c.const_data_ptr<int64_t>(), c.const_data_ptr<int64_t>() + c.numel()};
}

TEST(JointLayout, DrawSampleIsBeginWordsThenLatents) {
  const auto layout = joint_layout({.draw = {{7, 8}}}, kGrid);
  EXPECT_EQ(layout.text_ids, (std::vector<int64_t>{1, 7, 8}));
  EXPECT_EQ(list(layout.source_T), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(list(layout.fields.span_T), (std::vector<int64_t>{0, 1, 2, 3, 3, 3, 3}));
  EXPECT_EQ(list(layout.condition_T), (std::vector<int64_t>{0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(list(layout.latent_rows), (std::vector<int64_t>{3, 4, 5, 6}));
  EXPECT_EQ(layout.predict_rows.numel(), 0);
}

TEST(JointLayout, CaptionSamplePredictsEachNextWordAndTheEnd) {
  const auto layout = joint_layout({.caption = {{7, 8}}}, kGrid);
  EXPECT_EQ(layout.text_ids, (std::vector<int64_t>{1, 7, 8, 2}));
  EXPECT_EQ(list(layout.source_T), (std::vector<int64_t>{4, 5, 0, 1, 2, 3}));
  EXPECT_EQ(list(layout.predict_rows), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(list(layout.predict_targets), (std::vector<int64_t>{7, 8, 2}));
}

TEST(JointLayout, OpenCaptionEndsWithItsLastWord) {
  const auto layout = joint_layout({.caption = {{7}, {}}, .caption_complete = false}, kGrid);
  EXPECT_EQ(list(layout.last_rows), (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(layout.fields.sample_offsets, (std::vector<int64_t>{0, 4, 7}));
}

TEST(JointLayout, MixedBatchReadsEachTableRowOnce) {
  const auto layout = joint_layout({.draw = {{5}, {}}, .caption = {{6}}}, kGrid);
  auto rows = list(layout.source_T);
  std::sort(rows.begin(), rows.end());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], static_cast<int64_t>(i));
}

}  // namespace
}  // namespace polyphony::pipelines
