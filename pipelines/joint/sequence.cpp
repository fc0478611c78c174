// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/sequence.h"

#include <ATen/ATen.h>

namespace polyphony::pipelines {
namespace {

// Appends packed tokens one by one; plain vectors, because thousands of tiny tensor operations would cost more than the
// model.
struct Builder {
  std::vector<int64_t> source, span, token_id, condition, latent, predict, target, last;
  std::vector<uint8_t> modality;
  std::vector<float> position;
  std::vector<int64_t> offsets = {0};
  std::vector<int64_t> text_ids;
  int64_t next_span = 0, order = 0;

  int64_t size() const { return static_cast<int64_t>(source.size()); }

  void push(int64_t source_row, Modality m, int64_t id, float row, float column) {
    source.push_back(source_row);
    modality.push_back(static_cast<uint8_t>(m));
    token_id.push_back(id);
    span.push_back(next_span);
    condition.push_back(0);
    position.insert(position.end(), {static_cast<float>(order), row, column});
  }

  void text(int64_t id) {
    push(static_cast<int64_t>(text_ids.size()), Modality::text, id, 0, 0);
    text_ids.push_back(id);
    ++next_span, ++order;
  }

  void grid(int64_t first_source, Modality m, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows * columns; ++i)
      push(first_source + i, m, i, static_cast<float>(i / columns), static_cast<float>(i % columns));
    ++next_span, ++order;
  }

  void end_sample() {
    offsets.push_back(size());
    next_span = order = 0;
  }
};

at::Tensor longs(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

}  // namespace

JointLayout joint_layout(const JointTexts& texts, const JointGrid& grid) {
  int64_t num_text = 0;
  for (const auto& ids : texts.draw) num_text += 1 + static_cast<int64_t>(ids.size());
  for (const auto& ids : texts.caption) num_text += 1 + static_cast<int64_t>(ids.size()) + texts.caption_complete;
  const int64_t image_tokens = grid.image_rows * grid.image_columns;
  const int64_t latent_tokens = grid.latent_rows * grid.latent_columns;
  const int64_t first_latent = num_text + image_tokens * static_cast<int64_t>(texts.caption.size());

  Builder b;
  for (size_t i = 0; i < texts.draw.size(); ++i) {
    b.text(grid.begin_id);
    for (const int64_t id : texts.draw[i]) b.text(id);
    const int64_t begin = b.size();
    b.grid(first_latent + static_cast<int64_t>(i) * latent_tokens, Modality::latent, grid.latent_rows,
           grid.latent_columns);
    for (int64_t row = begin; row < b.size(); ++row) {
      b.condition[row] = static_cast<int64_t>(i) + 1;
      b.latent.push_back(row);
    }
    b.end_sample();
  }
  for (size_t i = 0; i < texts.caption.size(); ++i) {
    b.grid(num_text + static_cast<int64_t>(i) * image_tokens, Modality::image, grid.image_rows, grid.image_columns);
    std::vector<int64_t> ids = texts.caption[i];
    if (texts.caption_complete) ids.push_back(grid.end_id);
    b.text(grid.begin_id);
    for (size_t k = 0; k < ids.size(); ++k) {
      b.predict.push_back(b.size() - 1);
      b.target.push_back(ids[k]);
      b.text(ids[k]);
    }
    b.last.push_back(b.size() - 1);
    b.end_sample();
  }

  JointLayout out;
  out.text_ids = std::move(b.text_ids);
  out.source_T = longs(b.source);
  out.fields = {.tokens_TD = {},
                .modality_T = at::tensor(b.modality, at::kByte),
                .position_TA = at::tensor(b.position).reshape({b.size(), kPositionAxes}),
                .span_T = longs(b.span),
                .token_id_T = longs(b.token_id),
                .sample_offsets = std::move(b.offsets)};
  out.condition_T = longs(b.condition);
  out.latent_rows = longs(b.latent);
  out.predict_rows = longs(b.predict);
  out.predict_targets = longs(b.target);
  out.last_rows = longs(b.last);
  return out;
}

}  // namespace polyphony::pipelines
