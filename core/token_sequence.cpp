// SPDX-License-Identifier: Apache-2.0
#include "core/token_sequence.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony {

void check_token_sequence(const TokenSequence& s) {
  constexpr auto where = "[token_sequence] ";
  const int64_t T = s.num_tokens();
  check<ShapeError>(!s.sample_offsets.empty() && s.sample_offsets.front() == 0, where,
                    "sample_offsets must start at 0");
  for (size_t b = 1; b < s.sample_offsets.size(); ++b)
    check<ShapeError>(s.sample_offsets[b - 1] <= s.sample_offsets[b], where, "sample_offsets must not fall");
  check<ShapeError>(s.tokens_TD.defined() && s.tokens_TD.dim() == 2 && s.tokens_TD.size(0) == T, where,
                    "tokens must be (", T, ", D)");
  check<ShapeError>(s.modality_T.defined() && s.modality_T.dim() == 1 && s.modality_T.size(0) == T &&
                        s.modality_T.scalar_type() == at::kByte,
                    where, "modality must be u8 (", T, ")");
  check<ShapeError>(s.position_TA.defined() && s.position_TA.dim() == 2 && s.position_TA.size(0) == T &&
                        s.position_TA.size(1) == kPositionAxes,
                    where, "position must be (", T, ", ", kPositionAxes, ")");
  check<ShapeError>(
      s.span_T.defined() && s.span_T.dim() == 1 && s.span_T.size(0) == T && s.span_T.scalar_type() == at::kLong, where,
      "span must be i64 (", T, ")");
  check<ShapeError>(s.token_id_T.defined() && s.token_id_T.dim() == 1 && s.token_id_T.size(0) == T &&
                        s.token_id_T.scalar_type() == at::kLong,
                    where, "token_id must be i64 (", T, ")");
}

at::Tensor sample_of_token(const TokenSequence& s) {
  std::vector<int64_t> sample(static_cast<size_t>(s.num_tokens()));
  for (int64_t b = 0; b < s.num_samples(); ++b)
    for (int64_t t = s.sample_offsets[b]; t < s.sample_offsets[b + 1]; ++t) sample[t] = b;
  return at::tensor(sample, at::kLong).to(s.modality_T.device());
}

namespace {

template <class Get>
at::Tensor cat_field(const std::vector<TokenSequence>& parts, Get get) {
  std::vector<at::Tensor> fields;
  fields.reserve(parts.size());
  for (const auto& part : parts) fields.push_back(get(part));
  return at::cat(fields);
}

TokenSequence cat_fields(const std::vector<TokenSequence>& parts) {
  return {.tokens_TD = cat_field(parts, [](const auto& p) { return p.tokens_TD; }),
          .modality_T = cat_field(parts, [](const auto& p) { return p.modality_T; }),
          .position_TA = cat_field(parts, [](const auto& p) { return p.position_TA; }),
          .span_T = cat_field(parts, [](const auto& p) { return p.span_T; }),
          .token_id_T = cat_field(parts, [](const auto& p) { return p.token_id_T; })};
}

void check_parts(const char* where, const std::vector<TokenSequence>& parts) {
  check<ShapeError>(!parts.empty(), where, " expected at least one part, got none");
  const int64_t D = parts.front().tokens_TD.size(1);
  for (const auto& part : parts)
    check<ShapeError>(part.tokens_TD.size(1) == D, where, " all parts must have width ", D, ", got ",
                      part.tokens_TD.size(1));
}

}  // namespace

TokenSequence concat_samples(const std::vector<TokenSequence>& parts) {
  check_parts("[concat_samples]", parts);
  TokenSequence out = cat_fields(parts);
  for (const auto& part : parts) {
    const int64_t base = out.sample_offsets.back();
    for (size_t b = 1; b < part.sample_offsets.size(); ++b) out.sample_offsets.push_back(base + part.sample_offsets[b]);
  }
  return out;
}

TokenSequence join_parts(const std::vector<TokenSequence>& parts) {
  check_parts("[join_parts]", parts);
  std::vector<TokenSequence> shifted;
  int64_t span = 0;
  double order = 0;
  for (const auto& part : parts) {
    check<ShapeError>(part.num_samples() == 1, "[join_parts] each part must hold one sample, got ", part.num_samples());
    if (part.num_tokens() == 0) continue;
    TokenSequence next = part;
    next.span_T = part.span_T + span;
    next.position_TA = part.position_TA.clone();
    next.position_TA.select(1, 0).add_(order);
    span = next.span_T.max().item<int64_t>() + 1;
    order = next.position_TA.select(1, 0).max().item<double>() + 1;
    shifted.push_back(std::move(next));
  }
  if (shifted.empty()) return parts.front();
  TokenSequence out = cat_fields(shifted);
  out.sample_offsets = {0, out.tokens_TD.size(0)};
  return out;
}

at::Tensor tokens_of(const TokenSequence& s, Modality modality) {
  return (s.modality_T == static_cast<uint8_t>(modality)).nonzero().flatten();
}

}  // namespace polyphony
