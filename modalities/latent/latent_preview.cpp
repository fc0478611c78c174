// SPDX-License-Identifier: Apache-2.0
#include "modalities/latent/latent_preview.h"

#include <ATen/ATen.h>

#include "core/check.h"

namespace polyphony::latent {
namespace {

constexpr double kRidge = 1e-6;

// (B, C, h, w) -> (B h w, C).
at::Tensor rows(const at::Tensor& map) { return map.permute({0, 2, 3, 1}).reshape({-1, map.size(1)}); }

}  // namespace

LatentPreview fit_latent_preview(const at::Tensor& latent, const at::Tensor& pixels) {
  check<ShapeError>(latent.dim() == 4 && pixels.dim() == 4 && pixels.size(1) == 3 && latent.size(0) == pixels.size(0) &&
                        latent.numel() > 0 && pixels.numel() > 0,
                    "[latent_preview] expected latents (B, C, h, w) and pixels (B, 3, H, W), got ", latent.sizes(),
                    " and ", pixels.sizes());
  const at::NoGradGuard no_grad;
  const at::Tensor x_NC = rows(latent.to(at::kCPU, at::kDouble));
  const at::Tensor small = at::adaptive_avg_pool2d(pixels.to(at::kCPU, at::kDouble), {latent.size(2), latent.size(3)});
  const at::Tensor with_one = at::cat({x_NC, at::ones({x_NC.size(0), 1}, x_NC.options())}, 1);
  const at::Tensor gram = with_one.t().matmul(with_one) / static_cast<double>(x_NC.size(0));
  const at::Tensor target = with_one.t().matmul(rows(small)) / static_cast<double>(x_NC.size(0));
  const at::Tensor ridge = kRidge * at::eye(gram.size(0), gram.options());
  const at::Tensor solution = at::linalg_solve(gram + ridge, target).to(at::kFloat);
  return {.weight_CR = solution.narrow(0, 0, latent.size(1)).contiguous(), .bias_R = solution[latent.size(1)].clone()};
}

at::Tensor preview_pixels(const LatentPreview& preview, const at::Tensor& latent) {
  check<ShapeError>(latent.dim() == 4 && latent.size(1) == preview.weight_CR.size(0),
                    "[latent_preview] expected latents (B, ", preview.weight_CR.size(0), ", h, w), got ",
                    latent.sizes());
  const at::NoGradGuard no_grad;
  const at::Tensor pixels = rows(latent.to(at::kCPU, at::kFloat)).matmul(preview.weight_CR) + preview.bias_R;
  return pixels.view({latent.size(0), latent.size(2), latent.size(3), 3})
      .permute({0, 3, 1, 2})
      .clamp(-1, 1)
      .contiguous();
}

}  // namespace polyphony::latent
