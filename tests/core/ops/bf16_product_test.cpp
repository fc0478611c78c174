// SPDX-License-Identifier: Apache-2.0
#include "core/ops/bf16_product/bf16_product.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony::ops {
namespace {

at::Tensor product(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype, CpuLevel level) {
  const at::Tensor out = at::full({a.size(0), b.size(1)}, 7.0, at::TensorOptions().dtype(dtype));
  bf16_product(out, a, b, false, level);
  return out;
}

// Largest difference relative to the largest value.
double distance(const at::Tensor& got, const at::Tensor& expected) {
  if (expected.numel() == 0) return 0;
  return ((got.to(at::kDouble) - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item<double>();
}

// Every level that this machine has; the lower ones are what other machines run.
class Bf16Product : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > highest_cpu_level()) GTEST_SKIP() << "this machine has no " << to_string(GetParam());
  }
};

struct Shape {
  int64_t M, K, N;
};
constexpr Shape kShapes[] = {{1, 1, 1},      {1, 64, 300},    {16, 32, 16},    {17, 33, 15},
                             {40, 32, 96},   {300, 7, 1},     {5, 1100, 9},    {130, 513, 70},
                             {33, 2050, 31}, {20, 33000, 35}, {600, 1040, 200}};

TEST_P(Bf16Product, EqualsTheProductInDoubleForAnyShapeAndOrientation) {
  at::manual_seed(1);
  for (const auto& [M, K, N] : kShapes)
    for (const bool a_turned : {false, true})
      for (const bool b_turned : {false, true}) {
        const auto a = a_turned ? at::randn({K, M}).to(at::kBFloat16).t() : at::randn({M, K}).to(at::kBFloat16);
        const auto b = b_turned ? at::randn({N, K}).to(at::kBFloat16).t() : at::randn({K, N}).to(at::kBFloat16);
        const auto expected = at::mm(a.to(at::kDouble), b.to(at::kDouble));
        const auto name = [&] {
          return c10::str(M, " x ", K, " x ", N, a_turned ? ", a turned" : "", b_turned ? ", b turned" : "");
        };
        EXPECT_LT(distance(product(a, b, at::kFloat, GetParam()), expected), 1e-5) << name();
        EXPECT_LT(distance(product(a, b, at::kBFloat16, GetParam()), expected), 4e-3) << name();
        const auto wide = product(a.to(at::kFloat), b, at::kFloat, GetParam());
        EXPECT_TRUE(at::equal(wide, product(a, b.to(at::kFloat), at::kFloat, GetParam()))) << name();
        EXPECT_LT(distance(wide, expected), 1e-5) << name();
      }
}

TEST_P(Bf16Product, RoundsF32AsLibTorchDoes) {
  at::manual_seed(3);
  const auto a = at::randn({30, 70}), b = at::randn({70, 40});
  EXPECT_TRUE(at::equal(product(a, b, at::kFloat, GetParam()),
                        product(a.to(at::kBFloat16), b.to(at::kBFloat16), at::kFloat, GetParam())));
}

TEST_P(Bf16Product, TakesAndWritesPartsOfLargerTensors) {
  at::manual_seed(2);
  const auto a = at::randn({50, 90}).to(at::kBFloat16), b = at::randn({80, 90}).to(at::kBFloat16);
  const auto out = at::full({50, 60}, 7.0f);
  const auto part = out.narrow(0, 3, 40).narrow(1, 5, 33);
  const auto left = a.narrow(0, 7, 40).narrow(1, 11, 70), right = b.narrow(0, 20, 33).narrow(1, 2, 70).t();
  bf16_product(part, left, right, false, GetParam());
  EXPECT_LT(distance(part, at::mm(left.to(at::kDouble), right.to(at::kDouble))), 1e-5);
  part.fill_(7.0f);
  EXPECT_TRUE(at::equal(out, at::full({50, 60}, 7.0f))) << "wrote beside its place";
}

TEST_P(Bf16Product, AddsToWhatIsThere) {
  at::manual_seed(4);
  for (const auto& [M, K, N] : kShapes) {
    const auto a = at::randn({M, K}).to(at::kBFloat16), b = at::randn({K, N}).to(at::kBFloat16);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const auto before = at::randn({M, N}).to(dtype), out = before.clone();
      bf16_product(out, a, b, true, GetParam());
      EXPECT_LT(distance(out, at::mm(a.to(at::kDouble), b.to(at::kDouble)) + before.to(at::kDouble)),
                dtype == at::kFloat ? 1e-5 : 4e-3);
    }
  }
}

TEST_P(Bf16Product, OfNothingIsNothingOrZero) {
  const auto none = at::empty({0, 8}, at::kBFloat16), some = at::ones({8, 3}, at::kBFloat16);
  EXPECT_EQ(product(none, some, at::kFloat, GetParam()).numel(), 0);
  EXPECT_EQ(product(some, at::empty({3, 0}, at::kBFloat16), at::kFloat, GetParam()).numel(), 0);
  EXPECT_TRUE(
      at::equal(product(at::empty({4, 0}, at::kBFloat16), at::empty({0, 3}, at::kBFloat16), at::kFloat, GetParam()),
                at::zeros({4, 3})));
}

TEST_P(Bf16Product, KeepsWhatIsNotFiniteInItsRowAndColumn) {
  auto a = at::ones({20, 40}).to(at::kBFloat16), b = at::ones({40, 20}).to(at::kBFloat16);
  a.index_put_({at::tensor(3), at::tensor(39)}, at::full({1}, std::numeric_limits<float>::quiet_NaN(), at::kBFloat16));
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto out = product(a, b, dtype, GetParam());
    EXPECT_TRUE(out.select(0, 3).isnan().all().item<bool>());
    EXPECT_EQ(out.isnan().sum().item<int64_t>(), 20);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Bf16Product,
                         ::testing::Values(CpuLevel::plain, CpuLevel::avx2, CpuLevel::avx512_bf16, CpuLevel::amx),
                         [](const auto& level) { return std::string(to_string(level.param)); });

TEST(Bf16ProductErrors, NameWhatDoesNotFit) {
  const auto a = at::ones({2, 3}, at::kBFloat16), b = at::ones({3, 4}, at::kBFloat16);
  EXPECT_THROW(bf16_product(at::empty({2, 5}), a, b), ShapeError);
  EXPECT_THROW(bf16_product(at::empty({2, 4}), a.to(at::kDouble), b), ShapeError);
  EXPECT_THROW(bf16_product(at::empty({4, 2}).t(), a, b), ShapeError);
  const auto spread = at::ones({2, 3, 2}, at::kBFloat16).select(2, 0);
  EXPECT_THROW(bf16_product(at::empty({2, 4}), spread, b), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
