// SPDX-License-Identifier: Apache-2.0
#include "pipelines/dit_moe/upcycle.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/pipelines/dit_moe/golden.h"
#include "tests/support/expect_error.h"

namespace polyphony::pipelines {
namespace {

DitMoeConfig family(int64_t experts, int64_t chosen) {
  return {.input_size = 8,
          .hidden_size = 32,
          .depth = 2,
          .num_heads = 2,
          .num_classes = 5,
          .num_experts = experts,
          .num_experts_per_tok = chosen};
}

std::shared_ptr<DitMoe> random_model(const DitMoeConfig& config) {
  at::manual_seed(7);
  const auto model = std::make_shared<DitMoe>(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.normal_(0, 0.3);
  model->eval();
  return model;
}

at::Tensor output_of(DitMoe& model) {
  const at::NoGradGuard no_grad;
  const auto x = at::linspace(-2, 2, 4 * 64).sin().view({1, 4, 8, 8});
  return model.forward({.x_BCHW = x, .t_B = at::full({1}, 0.4), .y_B = at::zeros({1}, at::kLong)}).out_BCHW;
}

TEST(Upcycle, GivesEveryExpertTheDenseOneAndCopiesTheRest) {
  const auto dense = random_model(family(1, 1));
  const auto sparse = random_model(family(8, 2));
  EXPECT_EQ(upcycle(*dense, *sparse), "upcycled from 1 to 8 experts");
  const auto from = published_views(dense->config(), state_of(*dense));
  for (const auto& [name, tensor] : published_views(sparse->config(), state_of(*sparse))) {
    if (name.ends_with("gate.weight") && !name.ends_with("adaLN")) {
      if (name.ends_with("moe.gate.weight")) {
        EXPECT_EQ(tensor.sizes(), at::IntArrayRef({8, 32}));
        EXPECT_NEAR(tensor.std().item<double>(), 0.02, 0.004);  // 256 draws: 4.5 standard errors
        EXPECT_LT(std::abs(tensor.mean().item<double>()), 0.006);
      }
      continue;
    }
    const auto at = name.find(".experts.");
    const auto source =
        at == std::string::npos ? name : name.substr(0, at + 9) + "0" + name.substr(name.find('.', at + 9));
    EXPECT_TRUE(at::equal(tensor, from.at(source))) << name;
  }
}

TEST(Upcycle, KeepsTheOutputWhereTheGatesSumToOne) {
  // Copies of one expert with weights that sum to one are that expert: the dense model's gate of one expert gives 1.
  const auto dense = random_model(family(1, 1));
  auto config = family(4, 2);
  config.norm_topk_prob = true;
  const auto sparse = random_model(config);
  upcycle(*dense, *sparse);
  EXPECT_LT(largest_error(output_of(*sparse), output_of(*dense)), 1e-4);
}

TEST(Upcycle, IsAPlainCopyBetweenEqualModels) {
  const auto source = random_model(family(4, 2));
  at::manual_seed(1);
  const auto target = std::make_shared<DitMoe>(family(4, 2));
  EXPECT_EQ(upcycle(*source, *target), "");
  target->eval();
  EXPECT_TRUE(at::equal(output_of(*target), output_of(*source)));
}

TEST(Upcycle, RefusesAnotherSizeAndFewerExperts) {
  const auto target = random_model(family(4, 2));
  auto wider = family(1, 1);
  wider.hidden_size = 48;
  EXPECT_REFUSED(ConfigError, upcycle(*random_model(wider), *target), "differ in their experts only", "48");
  EXPECT_REFUSED(ConfigError, upcycle(*random_model(family(8, 2)), *target), "at most 4 experts", "8");
}

}  // namespace
}  // namespace polyphony::pipelines
