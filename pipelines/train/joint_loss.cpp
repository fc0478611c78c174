// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/joint_loss.h"

#include <ATen/ATen.h>

#include "core/rng.h"
#include "moe/losses/load_balance.h"
#include "moe/losses/router_z.h"

namespace polyphony::pipelines {

at::Generator joint_generator(uint64_t seed, int64_t step) {
  return make_generator(derive_seed(seed, "joint", static_cast<uint64_t>(step)));
}

JointStep joint_step(JointData& data, const JointRecipe& recipe, at::Generator& generator, int64_t step) {
  const int64_t B = recipe.batch_size;
  auto draw = data.to_draw(step);
  auto seen = data.to_caption(step);
  const auto u_B = at::rand({B}, generator);
  const auto t_B = recipe.t_shift * u_B / (1 + (recipe.t_shift - 1) * u_B);
  const auto t = t_B.reshape({B, 1, 1, 1});
  const auto noise = at::randn(draw.x_BCHW.sizes(), generator);
  const auto dropped = at::rand({B}, generator) < recipe.text_dropout;
  for (int64_t i = 0; i < B; ++i)
    if (dropped[i].item<bool>()) draw.ids[static_cast<size_t>(i)].clear();
  return {.input = {.texts = {.draw = std::move(draw.ids), .caption = std::move(seen.ids)},
                    .noisy_BCHW = (1 - t) * draw.x_BCHW + t * noise,
                    .t_B = t_B,
                    .pixels_NCHW = seen.x_BCHW},
          .clean_BCHW = draw.x_BCHW};
}

Loss joint_loss(const JointOutput& out, const JointStep& step, const JointRecipe& recipe,
                const std::vector<moe::ExpertGroup>& groups) {
  const auto weight = step.input.t_B.clamp_min(recipe.min_t).pow(-2);
  const auto flow_B = (out.clean_BCHW - step.clean_BCHW).square().mean({1, 2, 3});
  const auto flow = (weight * flow_B).mean();
  const auto words = at::cross_entropy_loss(out.logits_PV, out.targets_P);
  auto balance = at::zeros({}), z = at::zeros({});
  for (const auto& routing : out.routings) {
    if (!routing.score_TE.defined()) continue;  // hash and chance have nothing to balance
    balance =
        balance + moe::load_balance_loss(routing, {.scope = {.modality_T = out.fields.modality_T, .groups = groups}});
    z = z + moe::router_z_loss(routing);
  }
  return {.total = flow + recipe.caption_weight * words + recipe.balance_weight * balance + recipe.z_weight * z,
          .parts = {{"flow", flow.detach()},
                    {"clean_mse", flow_B.mean().detach()},
                    {"words", words.detach()},
                    {"balance", balance.detach()},
                    {"router_z", z.detach()}}};
}

}  // namespace polyphony::pipelines
