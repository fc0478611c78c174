// SPDX-License-Identifier: Apache-2.0
// Forward pass, taps and routing against the published code, and changes that must not pass for it.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/nn/sin_cos_positions.h"
#include "tests/pipelines/dit_moe/golden.h"

namespace polyphony::pipelines {
namespace {

DitMoeInput forward_input() { return {golden("forward.x"), golden("forward.t"), golden("forward.y")}; }

DitMoeOutput run(DitMoe& model, const DitMoeInput& input, const DitMoeOptions& options = {}) {
  const at::NoGradGuard no_grad;
  return model.forward(input, options);
}

TEST(DitMoeParity, ForwardEqualsThePublishedCode) {
  const auto model = golden_model();
  expect_golden("forward.out", run(*model, forward_input()).out_BCHW);
  auto input = forward_input();
  input.t_B = golden("forward_ddpm.t");
  expect_golden("forward_ddpm.out", run(*model, input).out_BCHW);
}

// Weights by token and expert, 0 where the expert was not chosen.
at::Tensor weight_table(const moe::Routing& routing) {
  const auto table = at::zeros({routing.num_tokens, routing.num_experts});
  return table.index_put_({routing.token_N, routing.expert_N}, routing.weight_N);
}

TEST(DitMoeParity, EveryBlockEqualsThePublishedCode) {
  const auto model = golden_model();
  DitMoeOptions options;
  options.on_block = [](int64_t layer, const moe::DitBlockOutput& block) {
    const auto name = "forward.block" + std::to_string(layer) + ".";
    expect_golden(name + "moe_in", block.moe_in_TD.view_as(golden(name + "moe_in")));
    expect_golden(name + "moe_out", block.moe_out_TD.view_as(golden(name + "moe_out")));
    expect_golden(name + "out", block.x_BSD);

    // The choices as sets: the smallest gap between the second and the third score is far above rounding.
    const auto& ids_TK = golden(name + "expert_ids");
    const auto expected_TE =
        at::zeros({ids_TK.size(0), block.routing.num_experts}).scatter_(1, ids_TK, golden(name + "expert_weights"));
    const auto actual_TE = weight_table(block.routing);
    const auto differing = (actual_TE.gt(0) != expected_TE.gt(0)).sum().item<int64_t>();
    expect_error_below(name + "expert_ids", static_cast<double>(differing), 0);
    expect_error_below(name + "expert_weights", largest_error(actual_TE, expected_TE), 1e-5);
  };
  run(*model, forward_input(), options);
}

TEST(DitMoeParity, ComputedPositionsEqualTheStoredOnes) {
  const auto stored = load_tensors(kDitMoeGolden + "/model.safetensors").at("pos_embed");
  expect_error_below("pos_embed", largest_error(DitMoe(golden_model()->config()).named_buffers()["pos_embed"], stored),
                     1e-6);
}

TEST(DitMoeParity, ReplayOfItsOwnRoutingGivesTheSameOutput) {
  const auto model = golden_model();
  const auto first = run(*model, forward_input());
  const auto again = run(*model, forward_input(), {.replay = &first.routings});
  EXPECT_TRUE(at::equal(first.out_BCHW, again.out_BCHW));
}

// Each of these is a way in which a port goes wrong unseen: the check above must see it.
class DitMoeNegativeControl : public testing::Test {
 protected:
  double error_of(DitMoe& model, const std::string& t = "forward.t", double t_scale = 1) {
    auto input = forward_input();
    input.t_B = golden(t) * t_scale;
    return largest_error(run(model, input).out_BCHW, golden(t == "forward.t" ? "forward.out" : "forward_ddpm.out"));
  }
  void expect_seen(const char* what, double error) {
    RecordProperty(std::string("control:") + what, std::to_string(error));
    EXPECT_GT(error, 1e-5) << what;
  }
  DitMoeConfig config_ = golden_model()->config();
};

TEST_F(DitMoeNegativeControl, RenormalisedGates) {
  config_.norm_topk_prob = true;
  expect_seen("renormalised gates", error_of(*golden_model_as(config_)));
}

TEST_F(DitMoeNegativeControl, SineBeforeCosine) {
  const auto model = golden_model();
  auto weight = model->named_parameters()["t_embedder.linear_1.weight"];
  const at::NoGradGuard no_grad;
  weight.copy_(weight.roll(128, 1));  // reads the halves of the embedding in the other order
  expect_seen("sine before cosine", error_of(*model));
}

TEST_F(DitMoeNegativeControl, OneFrequencyLess) {
  config_.timestep_period_shift = 1;
  expect_seen("127 for 128", error_of(*golden_model_as(config_), "forward_ddpm.t"));
}

TEST_F(DitMoeNegativeControl, ChannelBeforePixel) {
  const auto model = golden_model();
  const int64_t pixels = config_.patch_size * config_.patch_size, D = config_.hidden_size;
  auto weight = model->named_parameters()["final_linear.weight"];
  const at::NoGradGuard no_grad;
  weight.copy_(weight.view({config_.out_channels(), pixels, D}).transpose(0, 1).reshape({-1, D}).contiguous());
  expect_seen("channel before pixel", error_of(*model));
}

TEST_F(DitMoeNegativeControl, LargerNormEpsilon) {
  config_.norm_eps = 1e-5;
  expect_seen("1e-5 for 1e-6", error_of(*golden_model_as(config_)));
}

TEST_F(DitMoeNegativeControl, TimesInThousands) {
  expect_seen("t times 1000", error_of(*golden_model(), "forward.t", 1000));
  config_.timestep_scale = 1000;
  expect_seen("t times 1000, as a setting", error_of(*golden_model_as(config_)));
}

TEST_F(DitMoeNegativeControl, RowsBeforeColumns) {
  const auto model = golden_model();
  model->named_buffers()["pos_embed"].copy_(
      nn::sin_cos_positions(config_.grid(), config_.grid(), config_.hidden_size).roll(config_.hidden_size / 2, 1));
  expect_seen("swapped axes", error_of(*model));
}

}  // namespace
}  // namespace polyphony::pipelines
