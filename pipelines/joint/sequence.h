// SPDX-License-Identifier: Apache-2.0
// Where each token of a mixed batch stands: draw samples (text, then latent) and caption samples (image, then text).
// Shapes: T packed tokens, S text tokens of all samples, A position axes.
#pragma once
#include <cstdint>
#include <vector>

#include "core/token_sequence.h"

namespace polyphony::pipelines {

// Token ids of each sample's text, without begin and end marks.
struct JointTexts {
  std::vector<std::vector<int64_t>> draw = {};     // prompts of the pictures to draw; may be empty (unconditional)
  std::vector<std::vector<int64_t>> caption = {};  // words so far of the pictures to caption
  bool caption_complete = true;                    // append the end mark (training) or not (decoding)
};

struct JointGrid {
  int64_t latent_rows = 3, latent_columns = 3;
  int64_t image_rows = 3, image_columns = 3;
  int64_t begin_id = 1, end_id = 2;  // marks of the tokenizer
};

// Rows are gathered from the table [text tokens (S); image tokens; latent tokens], each in sample order.
struct JointLayout {
  std::vector<int64_t> text_ids = {};  // S ids to embed
  at::Tensor source_T = {};            // i64: row of that table for each packed token
  TokenSequence fields = {};           // everything but tokens_TD
  at::Tensor condition_T = {};         // i64: 0, or 1 + draw sample for latent tokens
  at::Tensor latent_rows = {};         // i64: packed rows of the latent tokens, sample by sample
  at::Tensor predict_rows = {};        // i64: packed rows whose next word is known (caption samples)
  at::Tensor predict_targets = {};     // i64: that word
  at::Tensor last_rows = {};           // i64: last packed row of each caption sample
};

JointLayout joint_layout(const JointTexts& texts, const JointGrid& grid);

}  // namespace polyphony::pipelines
