// SPDX-License-Identifier: Apache-2.0
#include "core/nn/attention_layout.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "core/check.h"
#include "core/ops/parallel.h"

namespace polyphony::nn {
namespace {

// (T) -> (B, S), `rest` in padded places.
at::Tensor padded(const at::Tensor& x_T, const at::Scalar& rest, const AttentionLayout& layout) {
  return at::full({layout.num_samples * layout.max_length}, rest, x_T.options())
      .index_copy_(0, layout.place_T, x_T)
      .view({layout.num_samples, layout.max_length});
}

bool spans_rise_everywhere(const TokenSequence& sequence) {
  const at::Tensor span_T = sequence.span_T.cpu().contiguous();
  const int64_t* span = span_T.const_data_ptr<int64_t>();
  for (int64_t b = 0; b < sequence.num_samples(); ++b)
    for (int64_t t = sequence.sample_offsets[b] + 1; t < sequence.sample_offsets[b + 1]; ++t)
      if (span[t] <= span[t - 1]) return false;
  return true;
}

// Gathers by one index, gives gradients back by the other: LibTorch's own gradient of index_select would add rows one
// by one. Padded places take no part, because no token reads them.
struct Pad : torch::autograd::Function<Pad> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_TC, const at::Tensor& token_P,
                            const at::Tensor& place_T) {
    const ops::KernelsOnly guard;
    ctx->save_for_backward({place_T});
    return x_TC.index_select(0, token_P);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    return {gradients[0].index_select(0, ctx->get_saved_variables()[0]), {}, {}};
  }
};

struct Unpad : torch::autograd::Function<Unpad> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_PC, const at::Tensor& place_T) {
    const ops::KernelsOnly guard;
    ctx->save_for_backward({place_T});
    ctx->saved_data["places"] = x_PC.size(0);
    return x_PC.index_select(0, place_T);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list gradients) {
    const auto& dy = gradients[0];
    const auto dx = at::zeros({ctx->saved_data["places"].toInt(), dy.size(1)}, dy.options());
    return {dx.index_copy(0, ctx->get_saved_variables()[0], dy), {}};
  }
};

}  // namespace

AttentionLayout make_attention_layout(const TokenSequence& sequence) {
  check_token_sequence(sequence);
  AttentionLayout layout;
  layout.num_samples = sequence.num_samples();
  for (int64_t b = 0; b < layout.num_samples; ++b)
    layout.lengths.push_back(sequence.sample_offsets[b + 1] - sequence.sample_offsets[b]);
  for (const int64_t length : layout.lengths) layout.max_length = std::max(layout.max_length, length);

  const int64_t S = layout.max_length;
  std::vector<int64_t> token(static_cast<size_t>(layout.num_samples * S), 0);
  std::vector<int64_t> place(static_cast<size_t>(sequence.num_tokens()));
  for (int64_t b = 0; b < layout.num_samples; ++b)
    for (int64_t s = 0; s < layout.lengths[b]; ++s) {
      token[b * S + s] = sequence.sample_offsets[b] + s;
      place[sequence.sample_offsets[b] + s] = b * S + s;
    }
  const auto device = sequence.tokens_TD.device();
  layout.token_P = at::tensor(token, at::kLong).to(device);
  layout.place_T = at::tensor(place, at::kLong).to(device);

  const bool has_padding = layout.num_samples * S != sequence.num_tokens();
  layout.causal = !has_padding && spans_rise_everywhere(sequence);
  if (layout.causal || S == 0) return layout;
  const at::Tensor span_BS = padded(sequence.span_T, 0, layout);
  const at::Tensor present_BS = padded(at::ones_like(sequence.span_T, at::kBool), false, layout);
  const at::Tensor seen_BSS = span_BS.unsqueeze(1) <= span_BS.unsqueeze(2);
  const at::Tensor self_SS = at::eye(S, seen_BSS.options());
  const at::Tensor mask_BSS = (seen_BSS & present_BS.unsqueeze(1) & present_BS.unsqueeze(2)) | self_SS;
  if (has_padding || !mask_BSS.all().item<bool>()) layout.mask_B1SS = mask_BSS.unsqueeze(1);
  return layout;
}

at::Tensor pad_tokens(const at::Tensor& x_TC, const AttentionLayout& layout) {
  const bool has_padding = layout.token_P.size(0) != layout.place_T.size(0);
  const at::Tensor x_PC = has_padding ? Pad::apply(x_TC, layout.token_P, layout.place_T) : x_TC;
  return x_PC.view({layout.num_samples, layout.max_length, x_TC.size(1)});
}

at::Tensor unpad_tokens(const at::Tensor& x_BSC, const AttentionLayout& layout) {
  const at::Tensor x_PC = x_BSC.reshape({layout.num_samples * layout.max_length, x_BSC.size(2)});
  const bool has_padding = layout.token_P.size(0) != layout.place_T.size(0);
  return has_padding ? Unpad::apply(x_PC, layout.place_T) : x_PC;
}

}  // namespace polyphony::nn
