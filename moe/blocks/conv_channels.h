// SPDX-License-Identifier: Apache-2.0
// Convolution whose output channels are experts: an image passes the filters of the experts that it is routed to.
// Shapes: B images, I input channels, O output channels, E experts, kernel k.
#pragma once
#include <torch/nn/module.h>

#include "moe/routing.h"

namespace polyphony::moe {

struct ConvChannelsOptions {
  int64_t in_channels = 0;
  int64_t out_channels = 0;  // of each expert
  int64_t num_experts = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 1;
};

// Parameter: weight (E, O, I, k, k), no bias: a normalisation of the O channels follows, which all experts share.
// Source: AdvMoE (arXiv:2308.10110): E O filters, of which an image uses one expert's block.
class ConvChannels : public torch::nn::Module {
 public:
  explicit ConvChannels(const ConvChannelsOptions& options);  // throws ConfigError

  // x (B, I, Y, X), routing of B "tokens" -> (B, O, Y', X'): the weighted sum of its experts' convolutions, 0 for an
  // image without rows. One routing may serve all layers of a network (a pathway). Throws ShapeError.
  at::Tensor forward(const at::Tensor& x_BIYX, const Routing& routing);

 private:
  ConvChannelsOptions options_;
  at::Tensor weight_EOIKK_;
};

}  // namespace polyphony::moe
