// SPDX-License-Identifier: Apache-2.0
#include "moe/routers/mixer.h"

#include <ATen/ATen.h>

#include <limits>

#include "moe/routers/noise.h"
#include "moe/routers/selection.h"

namespace polyphony::moe {

MixerPick mixer_pick(const at::Tensor& logits_TE, double epsilon, const RoutingContext& context) {
  constexpr double kOut = -std::numeric_limits<double>::infinity();
  const auto fixed_TE = logits_TE.detach();
  const auto best_T1 = top_indices(fixed_TE, 1);
  const auto top_T1 = fixed_TE.gather(1, best_T1);
  const auto size_TE = at::maximum(fixed_TE.abs(), top_T1.abs());
  // Two zeros are equal; -inf divided by inf is NaN, which is not close.
  const auto close_TE = (top_T1 - fixed_TE <= 2 * epsilon * size_TE) & ~fixed_TE.isneginf();
  const auto keep_T1 = ~top_T1.isneginf();
  // A row without anything left takes its first expert for a softmax that is not NaN; it does not count.
  const auto near_TE = logits_TE.masked_fill(~close_TE & keep_T1, kOut).masked_fill(~keep_T1, 0);
  const auto share_TE = near_TE.softmax(1);
  if (!context.training) return {best_T1, share_TE.gather(1, best_T1), keep_T1};

  const auto drawn_T1 = top_indices(near_TE.detach() + gumbel_noise(near_TE, context), 1);
  const auto share_T1 = share_TE.gather(1, drawn_T1);
  const auto whole_T1 =
      (drawn_T1 == best_T1) | (at::empty_like(share_T1.detach()).uniform_(0, 1, context.generator) > 0.75);
  const auto counted_T1 = at::where(whole_T1, share_T1.detach(), share_T1.detach() / 3);
  return {drawn_T1, share_T1 + (counted_T1 - share_T1.detach()), keep_T1};
}

}  // namespace polyphony::moe
