// SPDX-License-Identifier: Apache-2.0
#include "core/ops/packed_product/packed_product.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/ops/gated_activation/gated_activation.h"

namespace polyphony::ops {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4};

double relative_rms(const at::Tensor& got, const at::Tensor& expected) {
  const auto difference = got.to(at::kDouble) - expected.to(at::kDouble);
  return (difference.norm() / expected.to(at::kDouble).norm().clamp_min(1e-30)).item<double>();
}

std::string named(WeightFormat format, CpuLevel level) {
  return std::string(to_string(format)) + "_" + std::string(to_string(level));
}

TEST(Quantize, IntegersOfAScaleComeBackExactly) {
  at::manual_seed(1);
  for (const auto format : {WeightFormat::int8, WeightFormat::int4}) {
    const int64_t lowest = format == WeightFormat::int8 ? -127 : -8;
    auto numbers = at::randint(lowest + 1, -lowest, {3, 5, 96}, at::kFloat);
    numbers.view({3, 5, 3, 32}).select(3, 7).fill_(static_cast<double>(lowest));  // each group's largest
    const auto w = numbers * 0.25;
    const auto q = quantize_matrices(w, format, 32);
    EXPECT_TRUE(at::equal(dequantize_matrices(q), w)) << to_string(format);
    EXPECT_EQ(q.scales_ENG.sizes(), (at::IntArrayRef{3, 5, 3}));
  }
}

TEST(Quantize, ErrorsAreThoseOfTheBits) {
  at::manual_seed(2);
  const auto w = at::randn({64, 2048}) * 0.02;
  const auto error = [&](WeightFormat format, int64_t group) {
    return relative_rms(dequantize_matrices(quantize_matrices(w, format, group))[0], w);
  };
  // Of normal values: a step of the largest of 32 (about 2.3 sigma) over 127 or 8, uniform within it.
  EXPECT_LT(error(WeightFormat::int8, 32), 0.0055);
  EXPECT_LT(error(WeightFormat::int4, 32), 0.085);
  EXPECT_LT(error(WeightFormat::int8, 32), error(WeightFormat::int8, 0));
  EXPECT_LT(error(WeightFormat::int8, 0), 0.01);
  EXPECT_LT(error(WeightFormat::int4, 128), 0.12);
}

TEST(Quantize, TheScaleIsTheBestOfItsCandidates) {
  at::manual_seed(3);
  const auto w = at::randn({200, 32});
  const auto searched = dequantize_matrices(quantize_matrices(w, WeightFormat::int4, 32))[0];
  const auto extreme = w.gather(1, w.abs().argmax(1, true)) / -8;
  const auto plain = ((w / extreme).round().clamp(-8, 7) * extreme);
  EXPECT_LT(relative_rms(searched, w), 0.97 * relative_rms(plain, w));
}

TEST(Quantize, ZerosOddDepthsAndPartGroups) {
  at::manual_seed(4);
  for (const auto format : {WeightFormat::int8, WeightFormat::int4})
    for (const int64_t depth : {1, 31, 33, 77}) {
      auto w = at::randn({3, depth});
      w.select(0, 1).zero_();
      const auto back = dequantize_matrices(quantize_matrices(w, format, 64))[0];
      EXPECT_EQ(back.sizes(), w.sizes());
      EXPECT_EQ(back.select(0, 1).abs().max().item<float>(), 0.0f);
      EXPECT_LT(relative_rms(back, w), format == WeightFormat::int8 ? 0.01 : 0.12);
    }
}

TEST(Quantize, NamesWhatDoesNotFit) {
  const auto w = at::ones({2, 32});
  EXPECT_THROW(quantize_matrices(w, WeightFormat::bf16), ShapeError);
  EXPECT_THROW(quantize_matrices(w, WeightFormat::int8, 48), ShapeError);
  EXPECT_THROW(quantize_matrices(at::ones({2}), WeightFormat::int8), ShapeError);
  EXPECT_THROW(quantize_matrices(w / 0, WeightFormat::int8), ShapeError);
}

TEST(PackMatrices, UnpackedTheyAreTheRoundedWeights) {
  at::manual_seed(5);
  for (const auto format : kFormats)
    for (const bool gated : {false, true})
      for (const auto& [N, K] : {std::pair<int64_t, int64_t>{2, 1}, {34, 33}, {96, 64}, {70, 130}}) {
        const auto w = at::randn({2, N, K});
        const auto back = unpack_matrices(pack_matrices(w, format, gated, 64));
        const auto expected = format == WeightFormat::bf16 ? w : dequantize_matrices(quantize_matrices(w, format, 64));
        EXPECT_TRUE(at::equal(back, expected.to(at::kBFloat16).to(at::kFloat)))
            << to_string(format) << " " << N << " x " << K << (gated ? ", gated" : "");
      }
}

TEST(PackMatrices, NamesWhatDoesNotFit) {
  EXPECT_THROW(pack_matrices(at::ones({3, 32}), WeightFormat::bf16, true), ShapeError);
  EXPECT_THROW(pack_matrices(at::ones({32}), WeightFormat::bf16), ShapeError);
  EXPECT_THROW(pack_matrices(at::ones({2, 32}, at::kDouble), WeightFormat::bf16), ShapeError);
  auto q = quantize_matrices(at::ones({2, 64}), WeightFormat::int8, 32);
  q.depth = 65;
  EXPECT_THROW(pack_matrices(q), ShapeError);
}

// Every level that this machine has; the lower ones are what other machines run.
class PackedProduct : public ::testing::TestWithParam<std::tuple<WeightFormat, CpuLevel>> {
 protected:
  WeightFormat format() const { return std::get<0>(GetParam()); }
  CpuLevel level() const { return std::get<1>(GetParam()); }
  void SetUp() override {
    if (level() > highest_cpu_level()) GTEST_SKIP() << "this machine has no " << to_string(level());
  }
};

struct Shape {
  int64_t M, K, N;
};
constexpr Shape kShapes[] = {{1, 1, 1},    {1, 64, 300}, {2, 33, 15},   {3, 96, 64},
                             {4, 1100, 9}, {5, 32, 32},  {17, 600, 70}, {300, 130, 33}};

TEST_P(PackedProduct, EqualsTheProductInDoubleWithTheWeightsItHolds) {
  at::manual_seed(6);
  for (const auto& [M, K, N] : kShapes) {
    const auto x = at::randn({M, K}), w = at::randn({N, K}), bias = at::randn({N});
    const auto packed = pack_matrices(w, format(), false, 32);
    const auto expected = at::mm(x.to(at::kBFloat16).to(at::kDouble), unpack_matrices(packed)[0].to(at::kDouble).t());
    const auto name = c10::str(M, " x ", K, " x ", N);
    EXPECT_LT(relative_rms(packed_linear(x.to(at::kBFloat16).to(at::kFloat), packed, {}, level()), expected), 4e-3)
        << name;
    const auto narrow = packed_linear(x.to(at::kBFloat16), packed, bias.to(at::kBFloat16), level());
    EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
    EXPECT_LT(relative_rms(narrow, expected + bias.to(at::kDouble)), 8e-3) << name;
  }
}

TEST_P(PackedProduct, RowsDoNotMindTheirCompany) {
  at::manual_seed(7);
  const auto x = at::randn({40, 130}).to(at::kBFloat16), w = at::randn({50, 130});
  const auto packed = pack_matrices(w, format());
  const auto all = packed_linear(x, packed, {}, level());
  for (const int64_t rows : {1, 2, 3, 4, 5, 16, 33})
    EXPECT_LT(relative_rms(packed_linear(x.narrow(0, 0, rows), packed, {}, level()), all.narrow(0, 0, rows)), 6e-3);
}

TEST_P(PackedProduct, ExpertsEqualTheReferenceWithTheWeightsTheyHold) {
  at::manual_seed(8);
  struct Case {
    int64_t T, D, F, E, K;
  };
  for (const auto& [T, D, F, E, K] :
       {Case{1, 64, 32, 4, 2}, {7, 50, 21, 3, 1}, {40, 96, 80, 5, 3}, {300, 64, 48, 2, 2}})
    for (const bool shared : {false, true})
      for (const auto activation : {Activation::silu, Activation::gelu}) {
        const auto x = at::randn({T, D}), w13 = at::randn({E, 2 * F, D}) * 0.2, w2 = at::randn({E, D, F}) * 0.2;
        const auto shared13 = at::randn({2 * (F + 5), D}) * 0.2, shared2 = at::randn({D, F + 5}) * 0.2;
        const auto token = at::arange(T).repeat_interleave(K);
        const auto expert = std::get<1>(at::rand({T, E + 1}).topk(K, 1)).flatten();  // some rows are null experts
        const auto weight = at::rand({T * K});
        const auto plan = make_dispatch_plan(token, expert, T, E);
        const PackedExperts banks{pack_matrices(w13, format(), true), pack_matrices(w2, format())};
        const PackedExperts shared_banks{pack_matrices(shared13, format(), true), pack_matrices(shared2, format())};
        const auto held = [](const PackedMatrices& m) { return unpack_matrices(m); };
        const auto reference = moe_experts_reference(
            x, plan, weight, held(banks.w13), held(banks.w2),
            shared ? std::optional<SharedExpert>({held(shared_banks.w13)[0], held(shared_banks.w2)[0]}) : std::nullopt,
            activation);
        const auto name = c10::str(T, " tokens, width ", D, ", hidden ", F, shared ? ", shared" : "");
        EXPECT_LT(
            relative_rms(packed_experts(x, plan, weight, banks, shared ? &shared_banks : nullptr, activation, level()),
                         reference),
            8e-3)
            << name;
        const auto narrow = packed_experts(x.to(at::kBFloat16), plan, weight, banks, shared ? &shared_banks : nullptr,
                                           activation, level());
        EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
        EXPECT_LT(relative_rms(narrow, reference), 1.2e-2) << name;
      }
}

TEST_P(PackedProduct, OfNothingIsNothing) {
  const auto w = at::randn({2, 32, 16});
  const PackedExperts banks{pack_matrices(w, format(), true), pack_matrices(at::randn({2, 16, 16}), format())};
  const auto none = at::empty({0}, at::kLong);
  const auto plan = make_dispatch_plan(none, none, 0, 2);
  EXPECT_EQ(packed_experts(at::empty({0, 16}), plan, at::empty({0}), banks, nullptr, Activation::silu, level()).numel(),
            0);
  const auto unrouted = make_dispatch_plan(none, none, 3, 2);
  EXPECT_TRUE(
      at::equal(packed_experts(at::randn({3, 16}), unrouted, at::empty({0}), banks, nullptr, Activation::silu, level()),
                at::zeros({3, 16})));
  EXPECT_EQ(packed_linear(at::empty({0, 16}), pack_matrices(at::randn({8, 16}), format()), {}, level()).numel(), 0);
}

TEST_P(PackedProduct, SameBitsOnOneThreadAndTwo) {
  at::manual_seed(9);
  const auto x = at::randn({70, 64});
  const auto [weight, expert] = at::rand({70, 4}).topk(2, 1);
  const auto plan = make_dispatch_plan(at::arange(70).repeat_interleave(2), expert.flatten(), 70, 4);
  const PackedExperts banks{pack_matrices(at::randn({4, 96, 64}), format(), true),
                            pack_matrices(at::randn({4, 64, 48}), format())};
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    return std::pair(packed_experts(x, plan, weight.flatten(), banks, nullptr, Activation::silu, level()),
                     packed_linear(x, pack_matrices(at::ones({200, 64}), format()), {}, level()));
  };
  const auto one = run(1), two = run(2);
  EXPECT_TRUE(at::equal(one.first, two.first));
  EXPECT_TRUE(at::equal(one.second, two.second));
}

INSTANTIATE_TEST_SUITE_P(Levels, PackedProduct,
                         ::testing::Combine(::testing::ValuesIn(kFormats),
                                            ::testing::Values(CpuLevel::plain, CpuLevel::avx2, CpuLevel::avx512_bf16,
                                                              CpuLevel::amx)),
                         [](const auto& made) { return named(std::get<0>(made.param), std::get<1>(made.param)); });

TEST(PackedProductErrors, NameWhatDoesNotFit) {
  const auto w = pack_matrices(at::ones({8, 16}), WeightFormat::bf16);
  EXPECT_THROW(packed_linear(at::ones({2, 15}), w), ShapeError);
  EXPECT_THROW(packed_linear(at::ones({2, 16}, at::kDouble), w), ShapeError);
  EXPECT_THROW(packed_linear(at::ones({2, 16}), w, at::ones({7})), ShapeError);
  EXPECT_THROW(packed_linear(at::ones({2, 16}), pack_matrices(at::ones({8, 16}), WeightFormat::bf16, true)),
               ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
