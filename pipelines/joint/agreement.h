// SPDX-License-Identifier: Apache-2.0
// A joint model checks its caption with its other half: would it draw this picture for these words?
#pragma once
#include <vector>

#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {

// 0 to 1: near 1 where the model, given the picture under much noise and the caption as prompt, sees about that
// picture; near 0 for a picture unlike any that it knows, whatever words it found. exp(-error / 0.15) of the largest
// mean squared error of a latent token, in units of the latents' variance, at t = 0.8. The noise is always the same.
// pixels (1, 3, S, S) in [-1, 1]. The probabilities of the words say less: a model that has seen nothing but scenes is
// as sure of its words on noise or an empty picture.
double caption_agreement(const JointBundle& bundle, const at::Tensor& pixels_1CHW, const std::vector<int64_t>& caption);

}  // namespace polyphony::pipelines
