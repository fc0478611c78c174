// SPDX-License-Identifier: Apache-2.0
#include "core/nn/label_embedder.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::nn {

LabelEmbedder::LabelEmbedder(const LabelEmbedderOptions& options)
    : options_(options), table_(options.num_classes + 1, options.dim) {
  check<ConfigError>(options.dropout >= 0 && options.dropout <= 1, "[label_embedder] dropout must be in [0, 1], got ",
                     options.dropout);
  register_module("table", table_);
  at::NoGradGuard no_grad;
  table_->weight.normal_(0.0, 0.02);
}

at::Tensor LabelEmbedder::dropped(const at::Tensor& label_B, const std::optional<at::Generator>& generator) const {
  check<ShapeError>(label_B.dim() == 1 && label_B.scalar_type() == at::kLong, "[label_embedder] label must be i64 (B)");
  if (!is_training() || options_.dropout == 0) return label_B;
  const at::Tensor is_dropped =
      at::rand(label_B.sizes(), generator, label_B.options().dtype(at::kFloat)) < options_.dropout;
  return label_B.masked_fill(is_dropped, null_class());
}

at::Tensor LabelEmbedder::forward(const at::Tensor& label_B, const std::optional<at::Generator>& generator) {
  return embedded(dropped(label_B, generator));
}

at::Tensor LabelEmbedder::embedded(const at::Tensor& label_B) { return table_(label_B); }

}  // namespace polyphony::nn
