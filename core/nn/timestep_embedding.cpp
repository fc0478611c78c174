// SPDX-License-Identifier: Apache-2.0
#include "core/nn/timestep_embedding.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/check.h"

namespace polyphony::nn {

at::Tensor timestep_embedding(const at::Tensor& t_B, const TimestepOptions& options) {
  check<ShapeError>(t_B.defined() && t_B.dim() == 1, "[timestep_embedding] t must be (B)");
  const int64_t half = options.dim / 2;
  check<ShapeError>(half > options.period_shift, "[timestep_embedding] dim must be more than ",
                    2 * options.period_shift, ", got ", options.dim);
  const auto f32 = t_B.options().dtype(at::kFloat);
  const double slope = -std::log(options.max_period) / static_cast<double>(half - options.period_shift);
  const at::Tensor frequency = at::exp(at::arange(half, f32) * slope);
  const at::Tensor angle = (t_B.to(at::kFloat) * options.scale).unsqueeze(1) * frequency.unsqueeze(0);
  std::vector<at::Tensor> columns = {at::cos(angle), at::sin(angle)};
  if (!options.cos_first) std::swap(columns[0], columns[1]);
  if (options.dim % 2 == 1) columns.push_back(at::zeros({t_B.size(0), 1}, f32));
  return at::cat(columns, 1);
}

TimestepEmbedder::TimestepEmbedder(int64_t dim, const TimestepOptions& options)
    : options_(options), linear_1_(options.dim, dim), linear_2_(dim, dim) {
  register_module("linear_1", linear_1_);
  register_module("linear_2", linear_2_);
}

at::Tensor TimestepEmbedder::forward(const at::Tensor& t_B) {
  const at::Tensor sinusoid = timestep_embedding(t_B, options_).to(linear_1_->weight.scalar_type());
  return linear_2_(at::silu(linear_1_(sinusoid)));
}

}  // namespace polyphony::nn
