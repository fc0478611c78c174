// SPDX-License-Identifier: Apache-2.0
// Balance of first choices: what the losses of Switch and GShard count.
#pragma once
#include <ATen/core/Tensor.h>

#include "moe/routing.h"

namespace polyphony::moe {

// E sum_e c_e m_e, c_e the share of tokens whose best expert is e, m_e the mean score of e; f32 scalar with gradient
// into m. 1 for even choices and scores, E when all tokens and all score go to one expert, 0 without tokens. Null
// experts count as experts. With sample_T (i64 (T)) each sample is a group of its own, and the loss is the mean of the
// groups that have tokens. Sources: Switch (arXiv:2101.03961) (4); GShard (arXiv:2006.16668) algorithm 1, whose mean
// over experts of c m is this over E^2 (DeepSpeed multiplies by E^2). Throws ShapeError if the routing has no scores.
at::Tensor first_choice_balance_loss(const Routing& routing, const at::Tensor& sample_T = {});

}  // namespace polyphony::moe
