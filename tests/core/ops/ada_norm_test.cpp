// SPDX-License-Identifier: Apache-2.0
#include "core/ops/ada_norm/ada_norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::ops {
namespace {

constexpr double kEps = 1e-6;

TEST(AdaNorm, GatesAddsAndNormsAsItsDefinition) {
  at::manual_seed(1);
  for (const int64_t D : {1, 7, 48, 384, 1000})
    for (const auto update_dtype : {at::kFloat, at::kBFloat16})
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        const int64_t B = 3, S = 5;
        const auto table = at::randn({B, 3 * D + 1});  // rows of a larger stride
        const auto gate = table.narrow(1, 0, D), shift = table.narrow(1, D, D), scale = table.narrow(1, 2 * D + 1, D);
        const auto x = 3 * at::randn({B * S, D}) + 2, update = at::randn({B * S, D}).to(update_dtype);
        const auto of_token = [&](const at::Tensor& rows) { return rows.repeat_interleave(S, 0); };
        const auto sum = x + of_token(gate) * update.to(at::kFloat);
        const auto expected = at::layer_norm(sum, {D}, {}, {}, kEps) * (1 + of_token(scale)) + of_token(shift);
        auto stream = x.clone();
        const auto got = ada_norm_(
            {.x_TD = stream, .update_TD = update, .gate_BD = gate, .shift_BD = shift, .scale_BD = scale, .eps = kEps},
            dtype);
        ASSERT_EQ(got.scalar_type(), dtype);
        EXPECT_TRUE(at::allclose(stream, sum, 1e-6, 1e-6)) << D;
        const double tolerance = dtype == at::kFloat ? 1e-5 : 8e-3;
        EXPECT_TRUE(at::allclose(got.to(at::kFloat), expected, tolerance, tolerance)) << D;
      }
}

TEST(AdaNorm, LeavesTheStreamAloneWithoutAnUpdate) {
  const auto x = at::randn({4, 8});
  auto stream = x.clone();
  const auto zero = at::zeros({2, 8});
  const auto got = ada_norm_({.x_TD = stream, .shift_BD = zero, .scale_BD = zero}, at::kFloat);
  EXPECT_TRUE(at::equal(stream, x));
  EXPECT_TRUE(at::allclose(got, at::layer_norm(x, {8}, {}, {}, kEps), 1e-5, 1e-5));
  EXPECT_EQ(ada_norm_({.x_TD = at::empty({0, 8}), .shift_BD = zero, .scale_BD = zero}, at::kFloat).size(0), 0);
}

TEST(AdaNorm, RefusesWhatDoesNotFit) {
  const auto x = at::zeros({4, 8}), rows = at::zeros({2, 8});
  const auto call = [&](const AdaNormInput& in) { return ada_norm_(in, at::kFloat); };
  EXPECT_THROW(call({.x_TD = x.to(at::kBFloat16), .shift_BD = rows, .scale_BD = rows}), ShapeError);
  EXPECT_THROW(call({.x_TD = x, .shift_BD = rows}), ShapeError);
  EXPECT_THROW(call({.x_TD = x, .shift_BD = rows, .scale_BD = at::zeros({1, 8})}), ShapeError);
  EXPECT_THROW(call({.x_TD = x, .shift_BD = at::zeros({3, 8}), .scale_BD = at::zeros({3, 8})}), ShapeError);
  EXPECT_THROW(call({.x_TD = x, .update_TD = x, .shift_BD = rows, .scale_BD = rows}), ShapeError);
  EXPECT_THROW(call({.x_TD = x, .update_TD = rows, .gate_BD = rows, .shift_BD = rows, .scale_BD = rows}), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
