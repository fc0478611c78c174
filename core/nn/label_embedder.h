// SPDX-License-Identifier: Apache-2.0
// Class labels as conditions, with the null class that classifier-free guidance needs.
#pragma once
#include <ATen/core/Generator.h>
#include <torch/nn/modules/embedding.h>

#include <optional>

namespace polyphony::nn {

struct LabelEmbedderOptions {
  int64_t num_classes = 0;
  int64_t dim = 0;
  double dropout = 0.1;  // probability of the null class in place of the label, while training
};

// label_B i64 in [0, num_classes]; num_classes itself is the null class -> (B, D). Parameter: table.weight (classes +
// 1, D). Source: Classifier-Free Diffusion Guidance (arXiv:2207.12598).
class LabelEmbedder : public torch::nn::Module {
 public:
  explicit LabelEmbedder(const LabelEmbedderOptions& options);
  at::Tensor forward(const at::Tensor& label_B, const std::optional<at::Generator>& generator = std::nullopt);
  // The two halves of forward: the labels with some of them the null class while training, and their rows of the table.
  at::Tensor dropped(const at::Tensor& label_B, const std::optional<at::Generator>& generator = std::nullopt) const;
  at::Tensor embedded(const at::Tensor& label_B);
  int64_t null_class() const { return options_.num_classes; }

 private:
  LabelEmbedderOptions options_;
  torch::nn::Embedding table_;
};

}  // namespace polyphony::nn
