// SPDX-License-Identifier: Apache-2.0
#include "core/ops/moe_experts/moe_experts.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "tests/support/gradcheck.h"

namespace polyphony::ops {
namespace {

struct Sizes {
  int64_t T = 40;
  int64_t D = 32;
  int64_t F = 48;
  int64_t E = 5;
  int64_t K = 2;
  int64_t num_ids = 6;  // one null expert
};

// Inputs of the operation; expert 1 gets no rows.
struct Case {
  DispatchPlan plan;
  std::vector<at::Tensor> tensors;  // x, weight, w13, w2, shared w13, shared w2
};

Case make_case(const Sizes& s, at::ScalarType dtype, bool with_shared) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const auto token = at::arange(s.T, at::kLong).repeat_interleave(s.K);
  const auto expert = at::randint(s.num_ids, {s.T * s.K}, at::kLong);
  expert.masked_fill_(expert == 1, 0);
  Case c;
  c.plan = make_dispatch_plan(token, expert, s.T, s.E);
  const double scale = 1.0 / std::sqrt(static_cast<double>(s.D));
  c.tensors = {at::randn({s.T, s.D}, options).to(dtype),
               at::rand({s.T * s.K}, options).to(dtype == at::kDouble ? at::kDouble : at::kFloat),
               (at::randn({s.E, 2 * s.F, s.D}, options) * scale).to(dtype),
               (at::randn({s.E, s.D, s.F}, options) * scale).to(dtype)};
  if (with_shared) {
    c.tensors.push_back((at::randn({2 * s.F + 8, s.D}, options) * scale).to(dtype));
    c.tensors.push_back((at::randn({s.D, s.F + 4}, options) * scale).to(dtype));
  }
  for (auto& t : c.tensors) t.requires_grad_();
  return c;
}

std::optional<SharedExpert> shared_of(const std::vector<at::Tensor>& t) {
  return t.size() > 4 ? std::optional<SharedExpert>({t[4], t[5]}) : std::nullopt;
}

at::Tensor run(const Case& c, Activation activation = Activation::silu) {
  const auto& t = c.tensors;
  return moe_experts(t[0], c.plan, t[1], t[2], t[3], shared_of(t), activation);
}

at::Tensor run_reference(const Case& c, Activation activation = Activation::silu) {
  const auto& t = c.tensors;
  return moe_experts_reference(t[0], c.plan, t[1], t[2], t[3], shared_of(t), activation);
}

std::vector<at::Tensor> gradients(const at::Tensor& y, const Case& c) {
  const auto direction = at::sin(at::arange(y.numel(), at::kFloat)).view(y.sizes()).to(y.scalar_type());
  return torch::autograd::grad({y}, c.tensors, {direction});
}

// Largest difference relative to the largest value of the expected tensor.
double distance(const at::Tensor& got, const at::Tensor& expected) {
  if (expected.numel() == 0) return 0;
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).abs().max() /
          expected.to(at::kDouble).abs().max().clamp_min(1e-6))
      .item<double>();
}

struct Precision {
  at::ScalarType dtype;
  double tolerance;
};

class MoeExpertsPrecision : public ::testing::TestWithParam<Precision> {};

TEST_P(MoeExpertsPrecision, ForwardAndBackwardEqualTheReference) {
  at::manual_seed(3);
  for (const bool with_shared : {false, true}) {
    for (const Activation activation : {Activation::silu, Activation::gelu}) {
      const Case c = make_case({}, GetParam().dtype, with_shared);
      const at::Tensor y = run(c, activation);
      const at::Tensor expected = run_reference(c, activation);
      EXPECT_EQ(y.scalar_type(), GetParam().dtype);
      EXPECT_LT(distance(y, expected), GetParam().tolerance);
      const auto got = gradients(y, c);
      const auto want = gradients(expected, c);
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].scalar_type(), c.tensors[i].scalar_type());
        EXPECT_LT(distance(got[i], want[i]), GetParam().tolerance) << "gradient " << i;
      }
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Dtypes, MoeExpertsPrecision,
                         ::testing::Values(Precision{at::kDouble, 1e-12}, Precision{at::kFloat, 1e-5},
                                           Precision{at::kBFloat16, 4e-2}));

TEST(MoeExperts, GradientsEqualCentralDifferences) {
  at::manual_seed(4);
  for (const Activation activation : {Activation::silu, Activation::gelu}) {
    const Case c = make_case({.T = 5, .D = 4, .F = 3, .E = 3, .K = 2, .num_ids = 4}, at::kDouble, true);
    testing::gradcheck(
        [&](const std::vector<at::Tensor>& t) {
          return moe_experts(t[0], c.plan, t[1], t[2], t[3], shared_of(t), activation);
        },
        c.tensors);
  }
}

TEST(MoeExperts, GivesTheSameBitsForOneAndTwoThreads) {
  const int threads = at::get_num_threads();
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t E : {1, 6}) {
      at::manual_seed(5);
      const Case c = make_case({.T = 700, .D = 64, .F = 96, .E = E, .K = 2, .num_ids = E}, dtype, true);
      std::vector<std::vector<at::Tensor>> results;
      for (const int n : {1, 2}) {
        at::set_num_threads(n);
        const at::Tensor y = run(c);
        auto result = gradients(y, c);
        result.push_back(y.detach());
        results.push_back(std::move(result));
      }
      for (size_t i = 0; i < results[0].size(); ++i)
        EXPECT_TRUE(at::equal(results[0][i], results[1][i])) << dtype << ", " << E << " experts, result " << i;
    }
  }
  at::set_num_threads(threads);
}

TEST(MoeExperts, OneExpertWithWeightOneIsAGatedMlp) {
  at::manual_seed(6);
  Case c = make_case({.T = 300, .E = 1, .K = 1, .num_ids = 1}, at::kFloat, false);
  c.tensors[1] = at::ones({300}).requires_grad_();
  const auto& t = c.tensors;
  const at::Tensor h = at::mm(t[0], t[2][0].t());
  const at::Tensor expected = at::mm(at::silu(h.narrow(1, 0, 48)) * h.narrow(1, 48, 48), t[3][0].t());
  EXPECT_LT(distance(run(c), expected), 1e-5);
}

TEST(MoeExperts, TokensWithoutRowsGiveZero) {
  at::manual_seed(7);
  Case c = make_case({.T = 8, .K = 1}, at::kFloat, false);
  c.plan = make_dispatch_plan(at::arange(8, at::kLong), at::full({8}, 5, at::kLong), 8, 5);
  const at::Tensor y = run(c);
  EXPECT_EQ(y.abs().max().item<float>(), 0);
  for (const auto& g : gradients(y, c)) EXPECT_EQ(g.abs().max().item<float>(), 0);
}

TEST(MoeExperts, AcceptsNoTokens) {
  for (const bool with_shared : {false, true}) {
    const Case c = make_case({.T = 0}, at::kFloat, with_shared);
    const at::Tensor y = run(c);
    EXPECT_EQ(y.size(0), 0);
    EXPECT_EQ(y.size(1), 32);
    for (const auto& g : gradients(y, c)) EXPECT_EQ(g.abs().sum().item<float>(), 0);
  }
}

TEST(MoeExperts, AcceptsStridedInputs) {
  at::manual_seed(8);
  Case c = make_case({}, at::kFloat, true);
  const at::Tensor expected = run(c);
  Case strided = c;
  strided.tensors[0] = c.tensors[0].t().contiguous().t();
  strided.tensors[2] = c.tensors[2].transpose(1, 2).contiguous().transpose(1, 2);
  strided.tensors[3] = c.tensors[3].transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_TRUE(at::equal(run(strided), expected));
}

TEST(MoeExperts, SkipsGradientsOfFrozenBanks) {
  at::manual_seed(9);
  const Case c = make_case({}, at::kFloat, true);
  const auto all = gradients(run(c), c);
  Case frozen = c;
  for (size_t i : {2, 3, 4, 5}) frozen.tensors[i] = c.tensors[i].detach();
  const at::Tensor y = run(frozen);
  const auto direction = at::sin(at::arange(y.numel(), at::kFloat)).view(y.sizes());
  const auto some = torch::autograd::grad({y}, {frozen.tensors[0], frozen.tensors[1]}, {direction});
  EXPECT_TRUE(at::equal(some[0], all[0]));
  EXPECT_TRUE(at::equal(some[1], all[1]));
}

TEST(MoeExperts, LeavesGradientsInF32BuffersThatItAddsToOrOverwrites) {
  at::manual_seed(12);
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const bool accumulate : {true, false}) {
      const Case c = make_case({}, dtype, true);
      const auto& t = c.tensors;
      const auto dy = at::randn_like(t[0]);
      const auto expected = torch::autograd::grad({run(c)}, {t[0], t[2], t[3], t[4]}, {dy});
      const BankGradients into{
          .w13_E2FD = at::randn(t[2].sizes()), .w2_EDF = at::randn(t[3].sizes()), .accumulate = accumulate};
      const auto before13 = into.w13_E2FD.clone(), before2 = into.w2_EDF.clone();
      const auto y = moe_experts(t[0], c.plan, t[1], t[2], t[3], shared_of(t), Activation::silu, into);
      const auto got =
          torch::autograd::grad({y}, {t[0], t[2], t[3], t[4]}, {dy}, std::nullopt, false, /*allow_unused=*/true);
      EXPECT_TRUE(at::equal(got[0], expected[0]));
      EXPECT_TRUE(at::equal(got[3], expected[3]));
      EXPECT_FALSE(got[1].defined() || got[2].defined());
      const double tolerance = dtype == at::kFloat ? 1e-5 : 1e-2;  // autograd's gradients of bf16 banks are bf16
      const auto check_close = [&](const at::Tensor& now, const at::Tensor& before, const at::Tensor& gradient) {
        const auto added = accumulate ? now - before : now;
        EXPECT_LT((added - gradient.to(at::kFloat)).norm().item<float>(),
                  tolerance * gradient.to(at::kFloat).norm().item<float>());
      };
      check_close(into.w13_E2FD, before13, expected[1]);
      check_close(into.w2_EDF, before2, expected[2]);
    }
}

TEST(MoeExperts, RefusesBuffersThatDoNotFit) {
  const Case c = make_case({}, at::kFloat, false);
  const auto& t = c.tensors;
  const auto run_into = [&](const at::Tensor& w13, const at::Tensor& w2) {
    moe_experts(t[0], c.plan, t[1], t[2], t[3], {}, Activation::silu, BankGradients{w13, w2, true});
  };
  const auto w13 = at::zeros_like(t[2]), w2 = at::zeros_like(t[3]);
  EXPECT_THROW(run_into(w13, {}), ShapeError);
  EXPECT_THROW(run_into(w2, w13), ShapeError);
  EXPECT_THROW(run_into(w13.to(at::kBFloat16), w2), ShapeError);
  const Case wide = make_case({}, at::kDouble, false);
  EXPECT_THROW(moe_experts(wide.tensors[0], wide.plan, wide.tensors[1], wide.tensors[2], wide.tensors[3], {},
                           Activation::silu, BankGradients{w13, w2, true}),
               Error);
}

TEST(MoeExperts, UnderAutocastRoundsProductsAloneAndReachesF32Parameters) {
  at::manual_seed(10);
  const Case c = make_case({}, at::kFloat, true);
  const at::Tensor expected = run(c);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor y = run(c);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_GT(distance(y, expected), 1e-4) << "nothing was rounded";
  EXPECT_LT(distance(y, expected), 4e-2);
  const auto got = gradients(y, c), want = gradients(expected, c);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].scalar_type(), at::kFloat);
    EXPECT_LT(distance(got[i], want[i]), 4e-2) << "gradient " << i;
  }
}

TEST(MoeExperts, RefusesADoubleBackward) {
  const Case c = make_case({.T = 3}, at::kFloat, false);
  EXPECT_THROW(torch::autograd::grad({run(c).sum()}, {c.tensors[0]}, {}, std::nullopt, /*create_graph=*/true), Error);
}

TEST(MoeExperts, RefusesShapesAndDtypesThatDoNotFit) {
  const Case c = make_case({}, at::kFloat, true);
  const auto broken = [&](size_t i, const at::Tensor& t) {
    Case other = c;
    other.tensors[i] = t;
    return run(other);
  };
  EXPECT_THROW(broken(0, at::zeros({41, 32})), ShapeError);
  EXPECT_THROW(broken(0, at::zeros({40, 32}, at::kHalf)), ShapeError);
  EXPECT_THROW(broken(1, at::zeros({79})), ShapeError);
  EXPECT_THROW(broken(1, at::zeros({80}, at::kBFloat16)), ShapeError);
  EXPECT_THROW(broken(2, at::zeros({5, 96, 31})), ShapeError);
  EXPECT_THROW(broken(2, at::zeros({5, 96, 32}, at::kBFloat16)), ShapeError);
  EXPECT_THROW(broken(3, at::zeros({4, 32, 48})), ShapeError);
  EXPECT_THROW(broken(4, at::zeros({100, 32})), ShapeError);
  EXPECT_THROW(broken(5, at::zeros({32})), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
