// SPDX-License-Identifier: Apache-2.0
// Operations on the rows of packed tokens against their definitions: values, gradients, dtypes, threads, errors.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "core/ops/modulate_rows/modulate_rows.h"
#include "core/ops/rms_norm/rms_norm.h"
#include "core/ops/rotate_rows/rotate_rows.h"
#include "tests/support/gradcheck.h"

namespace polyphony::ops {
namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Tensors&)>;

constexpr int64_t kTokens = 600;  // more than one task of a backward pass
constexpr int64_t kWidth = 72;    // more than one block of columns, and not a multiple of one

at::Tensor conditions() { return at::arange(kTokens, at::kLong).remainder(4); }

struct Case {
  const char* name;
  Operation fused, reference;
  Tensors inputs;  // f64
};

std::vector<Case> cases() {
  at::manual_seed(7);
  const auto x = [](at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble); };
  const auto angle = at::rand({kTokens, kWidth / 2}) * 6;
  const auto cos = angle.cos(), sin = angle.sin();
  return {
      {"rms_norm",
       [](const Tensors& t) { return rms_norm(t[0], t[1], 1e-6); },
       [](const Tensors& t) { return rms_norm_reference(t[0], t[1], 1e-6); },
       {x({kTokens, kWidth}), x({kWidth})}},
      {"rms_norm without weight",
       [](const Tensors& t) { return rms_norm(t[0], {}, 1e-2); },
       [](const Tensors& t) { return rms_norm_reference(t[0], {}, 1e-2); },
       {x({kTokens / 2, 2, kWidth})}},
      {"rotate_rows",
       [=](const Tensors& t) { return rotate_rows(t[0], cos, sin); },
       [=](const Tensors& t) { return rotate_rows_reference(t[0], cos, sin); },
       {x({kTokens, 3, kWidth})}},
      {"rotate_rows of a part of wider rows",
       [=](const Tensors& t) { return rotate_rows(t[0].narrow(1, 1, 2), cos, sin); },
       [=](const Tensors& t) { return rotate_rows_reference(t[0].narrow(1, 1, 2), cos, sin); },
       {x({kTokens, 5, kWidth})}},
      {"modulate_rows",
       [](const Tensors& t) { return modulate_rows(t[0], t[1], t[2], conditions()); },
       [](const Tensors& t) { return modulate_rows_reference(t[0], t[1], t[2], conditions()); },
       {x({kTokens, kWidth}), x({3, kWidth}), x({3, kWidth})}},
      {"modulate_rows by parts of a wider table",
       [](const Tensors& t) { return modulate_rows(t[0], t[1].chunk(2, 1)[0], t[1].chunk(2, 1)[1], conditions()); },
       [](const Tensors& t) {
         return modulate_rows_reference(t[0], t[1].chunk(2, 1)[0], t[1].chunk(2, 1)[1], conditions());
       },
       {x({kTokens, kWidth}), x({3, 2 * kWidth})}},
      {"gated_sum_rows",
       [](const Tensors& t) { return gated_sum_rows(t[0], t[1], t[2], conditions()); },
       [](const Tensors& t) { return gated_sum_rows_reference(t[0], t[1], t[2], conditions()); },
       {x({kTokens, kWidth}), x({kTokens, kWidth}), x({3, kWidth})}},
  };
}

Tensors leaves(const Case& c, at::ScalarType dtype) {
  Tensors out;
  for (const auto& t : c.inputs) out.push_back(t.to(dtype).detach().clone().requires_grad_());
  return out;
}

void expect_close(const at::Tensor& got, const at::Tensor& expected, double tolerance, const char* what) {
  ASSERT_EQ(got.sizes(), expected.sizes()) << what;
  EXPECT_EQ(got.scalar_type(), expected.scalar_type()) << what;
  const double largest = expected.abs().max().to(at::kDouble).item<double>();
  EXPECT_TRUE(at::allclose(got, expected, tolerance, tolerance * largest)) << what << (got - expected).abs().max();
}

class TokenRows : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(TokenRows, ValuesAndGradientsAreThoseOfTheReference) {
  const double tolerance = GetParam() == at::kBFloat16 ? 4e-2 : 1e-5;
  for (const auto& c : cases()) {
    const auto fused = leaves(c, GetParam()), plain = leaves(c, GetParam());
    const auto y = c.fused(fused), expected = c.reference(plain);
    expect_close(y, expected, tolerance, c.name);
    const auto dy = at::randn(y.sizes(), at::kDouble).to(GetParam());
    const auto got = torch::autograd::grad({y}, fused, {dy}), want = torch::autograd::grad({expected}, plain, {dy});
    for (size_t i = 0; i < got.size(); ++i) expect_close(got[i], want[i], tolerance, c.name);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TokenRows, ::testing::Values(at::kFloat, at::kBFloat16, at::kDouble));

TEST(TokenRowsThreads, DoNotChangeABit) {
  const int before = at::get_num_threads();
  for (const auto& c : cases()) {
    std::vector<Tensors> runs;
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      const auto in = leaves(c, at::kFloat);
      const auto y = c.fused(in);
      at::manual_seed(3);
      auto run = torch::autograd::grad({y}, in, {at::randn(y.sizes())});
      run.push_back(y);
      runs.push_back(run);
    }
    for (size_t i = 0; i < runs[0].size(); ++i) EXPECT_TRUE(at::equal(runs[0][i], runs[1][i])) << c.name;
  }
  at::set_num_threads(before);
}

TEST(TokenRowsErrors, NameTheOperation) {
  const auto x = at::zeros({4, 6});
  const auto table = at::zeros({2, 6});
  EXPECT_THROW(rms_norm(x, at::ones({5}), 1e-6), ShapeError);
  EXPECT_THROW(rotate_rows(at::zeros({4, 1, 6}), at::zeros({4, 2}), at::zeros({4, 2})), ShapeError);
  EXPECT_THROW(modulate_rows(x, table, table, at::tensor({0, 1, 2, 3}, at::kLong)), ShapeError);
  EXPECT_THROW(modulate_rows(x, table, at::zeros({3, 6}), at::zeros({4}, at::kLong)), ShapeError);
  EXPECT_THROW(gated_sum_rows(x, at::zeros({4, 5}), table, at::zeros({4}, at::kLong)), ShapeError);
  EXPECT_THROW(gated_sum_rows(x, x, table, at::zeros({4})), ShapeError);
}

}  // namespace
}  // namespace polyphony::ops
