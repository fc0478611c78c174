// SPDX-License-Identifier: Apache-2.0
// Both samplers and both training losses with gradients against the published code.
#include <gtest/gtest.h>

#include "modalities/latent/ddpm.h"
#include "pipelines/dit_moe/guidance.h"
#include "pipelines/dit_moe/loss.h"
#include "tests/pipelines/dit_moe/golden.h"

namespace polyphony::pipelines {
namespace {

TEST(DitMoeGolden, EulerSamplerAndItsPreviewsEqualThePublishedOnes) {
  std::vector<at::Tensor> trajectory = {golden("rf.noise")}, previews = {golden("rf.noise")};
  const auto on_step = [&](const latent::SampleStep& step) {
    trajectory.push_back(step.x);
    previews.push_back(step.x0);
    return true;
  };
  // Two passes, as the published sampler runs them: guidance multiplies rounding by 7, and that of another batch size
  // alone is as large as the tolerance.
  const auto model = guided_velocity(golden_model(), {.y_N = golden("rf.y"), .scale = 4, .batched = false});
  latent::euler_sample(golden("rf.noise"), model, {.steps = 8}, on_step);
  expect_golden("rf.trajectory", at::stack(trajectory));
  expect_golden("rf.previews", at::stack(previews));
}

TEST(DitMoeGolden, DdpmSamplerEqualsThePublishedOne) {
  const auto schedule = latent::linear_schedule();
  const auto timesteps = latent::respaced_timesteps(schedule, "10");
  expect_golden("ddpm.timesteps", at::tensor(timesteps, at::kLong), 0);

  // The noise file holds both halves of the batch; the second half of x is replaced by the first before each step.
  const auto& y_N = golden("ddpm.y");
  const auto noise = [&](int64_t step) { return golden("ddpm.step_noise")[step].narrow(0, 0, y_N.size(0)); };
  const auto result =
      latent::ddpm_sample(schedule, golden("ddpm.noise"), guided_epsilon(golden_model(), {.y_N = y_N, .scale = 3}),
                          {.respacing = "10", .noise = noise});
  const auto& expected = golden("ddpm.sample");
  const double scale = rms(expected);
  expect_error_below("ddpm.sample, rms over its rms", rms(result.x - expected) / scale, 1e-4);
  expect_error_below("ddpm.sample, largest over its rms", largest_error(result.x, expected) / scale, 5e-4);
}

void expect_gradients(const std::string& prefix, DitMoe& model) {
  TensorMap gradients;
  for (const auto& parameter : model.named_parameters())
    if (parameter.value().grad().defined()) gradients[parameter.key()] = parameter.value().grad();
  const auto published = published_views(model.config(), gradients);
  int64_t compared = 0;
  for (const auto& [name, expected] : golden_io()) {
    if (!name.starts_with(prefix)) continue;
    const auto& actual = published.at(name.substr(prefix.size()));
    expect_error_below(name, largest_error(actual, expected) / rms(expected), 1e-4);
    ++compared;
  }
  EXPECT_GT(compared, 0) << prefix;
}

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  return ((actual - expected) / expected).abs().max().item<double>();
}

TEST(DitMoeGolden, RectifiedFlowLossAndGradientsEqualThePublishedOnes) {
  const auto model = golden_model();
  const auto loss = rectified_flow_loss(*model, {.x0 = golden("forward.x"),
                                                 .noise = golden("rf_train.noise"),
                                                 .t_B = golden("rf_train.t"),
                                                 .y_B = golden("rf_train.y")});
  expect_error_below("rf_train.loss", relative_error(loss.task, golden("rf_train.loss")), 1e-5);
  loss.total().backward();
  expect_gradients("rf_train.grad.", *model);
}

TEST(DitMoeGolden, DdpmLossAndGradientsEqualThePublishedOnes) {
  const auto model = golden_model();
  const auto loss = ddpm_loss(*model, latent::linear_schedule(),
                              {.x0 = golden("forward.x"),
                               .noise = golden("ddpm_train.noise"),
                               .t_B = golden("ddpm_train.t"),
                               .y_B = golden("ddpm_train.y")});
  expect_error_below("ddpm_train.mse", relative_error(loss.mse_B, golden("ddpm_train.mse")), 1e-5);
  expect_error_below("ddpm_train.vb", relative_error(loss.bound_B, golden("ddpm_train.vb")), 1e-5);
  expect_error_below("ddpm_train.loss", relative_error(loss.mse_B + loss.bound_B, golden("ddpm_train.loss")), 1e-5);
  loss.total().backward();
  expect_gradients("ddpm_train.grad.", *model);
}

}  // namespace
}  // namespace polyphony::pipelines
