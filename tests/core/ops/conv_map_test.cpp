// SPDX-License-Identifier: Apache-2.0
#include "core/ops/conv_map/conv_map.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::ops {
namespace {

// Every level that this machine has; the lower ones are what other machines run.
class ConvMap : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > highest_cpu_level()) GTEST_SKIP() << "this machine has no " << to_string(GetParam());
  }
};

struct Case {
  int64_t B, H, W, I, O, K;             // H and W of x
  bool normed, doubled, residual, f32;  // f32: x, residual and result
  bool silu = true;
};
// Maps below, at and above a tile's 64 columns, rows that tiles divide and do not, channels of no, one and many blocks.
constexpr Case kCases[] = {
    {1, 1, 1, 1, 1, 3, false, false, false, true},    {2, 5, 7, 3, 35, 3, true, false, false, false, false},
    {1, 4, 16, 32, 32, 3, true, false, true, false},  {1, 33, 70, 40, 8, 3, true, false, true, true},
    {1, 9, 65, 64, 33, 1, false, false, true, false}, {2, 20, 33, 48, 16, 3, false, true, false, false},
    {1, 3, 150, 16, 3, 3, true, true, false, true},   {1, 30, 40, 512, 40, 3, true, false, false, false}};

ConvMapInput input_of(const Case& c) {
  const auto dtype = c.f32 ? at::kFloat : at::kBFloat16;
  const int64_t times = c.doubled ? 2 : 1;
  ConvMapInput in{
      .x_BHWI = at::randn({c.B, c.H, c.W, c.I}).to(dtype), .silu = c.silu, .doubled = c.doubled, .f32_result = c.f32};
  if (c.normed) {
    in.scale_BI = at::randn({c.B, c.I});
    in.shift_BI = at::randn({c.B, c.I});
  }
  if (c.residual) in.residual_BHWO = at::randn({c.B, times * c.H, times * c.W, c.O}).to(dtype);
  return in;
}

at::Tensor weight_of(const Case& c) {
  return at::randn({c.O, c.I, c.K, c.K}) / std::sqrt(static_cast<double>(c.I * c.K * c.K));
}

TEST_P(ConvMap, EqualsItsDefinition) {
  at::manual_seed(1);
  for (const Case& c : kCases) {
    const auto in = input_of(c);
    const auto weight = weight_of(c), bias = at::randn({c.O});
    const auto got = conv_map(in, pack_conv(weight, bias), GetParam());
    const auto expected = conv_map_reference(in, weight, bias);
    const auto name = c10::str(c.B, " x ", c.H, " x ", c.W, ", ", c.I, " to ", c.O, ", kernel ", c.K);
    if (c.residual) {
      auto over = in;
      over.residual_BHWO = in.residual_BHWO.clone();
      over.over_residual = true;
      const auto again = conv_map(over, pack_conv(weight, bias), GetParam()).y_BHWO;
      EXPECT_TRUE(again.is_same(over.residual_BHWO) && at::equal(again, got.y_BHWO)) << name;
    }
    ASSERT_EQ(got.y_BHWO.scalar_type(), c.f32 ? at::kFloat : at::kBFloat16) << name;
    ASSERT_EQ(got.y_BHWO.sizes(), expected.y_BHWO.sizes()) << name;
    // A rounding of the normed input may fall to the other side, which one product of many feels.
    const auto y = got.y_BHWO.to(at::kFloat), wanted = expected.y_BHWO.to(at::kFloat);
    EXPECT_TRUE(at::allclose(y, wanted, 1e-2, 2e-2)) << name << " " << (y - wanted).abs().max().item<float>();
    EXPECT_LT(((y - wanted).norm() / wanted.norm()).item<double>(), c.f32 ? 1e-3 : 3e-3) << name;
    const auto positions = static_cast<double>(c.H * c.W * (c.doubled ? 4 : 1));
    EXPECT_TRUE(at::allclose(got.sums_B2O, expected.sums_B2O, 1e-3, 1e-3 * positions)) << name;
  }
}

TEST_P(ConvMap, HasTheSameBitsForAnyNumberOfThreads) {
  at::manual_seed(2);
  const Case c{1, 90, 130, 64, 40, 3, true, false, true, false};
  const auto in = input_of(c);
  const auto conv = pack_conv(weight_of(c), at::randn({c.O}));
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = conv_map(in, conv, GetParam());
  at::set_num_threads(2);
  const auto two = conv_map(in, conv, GetParam());
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one.y_BHWO, two.y_BHWO));
  EXPECT_TRUE(at::equal(one.sums_B2O, two.sums_B2O));
}

INSTANTIATE_TEST_SUITE_P(Levels, ConvMap,
                         ::testing::Values(CpuLevel::plain, CpuLevel::avx2, CpuLevel::avx512_bf16, CpuLevel::amx),
                         [](const auto& case_info) { return std::string(to_string(case_info.param)); });

TEST(ConvMapShapes, TakesAMapOfNoSamples) {
  const auto conv = pack_conv(at::randn({5, 4, 3, 3}), at::zeros({5}));
  const auto out = conv_map({.x_BHWI = at::empty({0, 3, 3, 4}, at::kBFloat16)}, conv);
  EXPECT_EQ(out.y_BHWO.sizes(), at::IntArrayRef({0, 3, 3, 5}));
  EXPECT_EQ(out.sums_B2O.sizes(), at::IntArrayRef({0, 2, 5}));
}

TEST(ConvMapShapes, RefusesWhatDoesNotFit) {
  const auto conv = pack_conv(at::randn({5, 4, 3, 3}), at::zeros({5}));
  const auto x = at::zeros({1, 3, 3, 4}, at::kBFloat16);
  EXPECT_THROW(conv_map({.x_BHWI = x.to(at::kDouble)}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x.permute({0, 3, 1, 2})}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x, .scale_BI = at::ones({1, 4})}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x, .scale_BI = at::ones({1, 5}), .shift_BI = at::ones({1, 5})}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x, .residual_BHWO = x}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x, .residual_BHWO = at::zeros({1, 3, 3, 5})}, conv), ShapeError);
  EXPECT_THROW(conv_map({.x_BHWI = x, .over_residual = true}, conv), ShapeError);
  EXPECT_THROW(pack_conv(at::randn({5, 4, 2, 2}), at::zeros({5})), ShapeError);
  EXPECT_THROW(pack_conv(at::randn({5, 4, 3, 3}), at::zeros({4})), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
