// SPDX-License-Identifier: Apache-2.0
// Compressed dispatch: rows of an expert that hash alike travel and are computed as their mean; each row gets the
// mean's result plus its own distance to the mean: y = E(c) + (x - c).
// Source: LSH-MoE (arXiv:2411.08446), cross-polytope hashes with residual compensation. A row's result
// depends on the other rows of its bucket.
#include "moe/experts/lsh.h"

#include <ATen/ATen.h>

#include <atomic>

#include "core/ops/combine_rows/combine_rows.h"
#include "core/ops/permute_rows/permute_rows.h"
#include "core/rng.h"
#include "moe/experts/entry.h"
#include "moe/experts/gated_mlp.h"

namespace polyphony::moe {
namespace {

// i64 (R, hashes): each the index of the largest of +-(x rotation), in [0, 2 C).
at::Tensor hashes_of(const at::Tensor& x_RD, const at::Tensor& rotation_HDC) {
  const at::NoGradGuard no_grad;
  if (x_RD.size(0) == 0) return at::zeros({0, rotation_HDC.size(0)}, at::kLong);
  const auto turned_HRC = at::matmul(x_RD.to(at::kFloat), rotation_HDC);
  return at::cat({turned_HRC, -turned_HRC}, 2).argmax(2).t().contiguous();
}

class CompressedBank final : public ExpertBank {
 public:
  CompressedBank(std::shared_ptr<ExpertBank> bank, const ExpertBankConfig& c)
      : bank_(register_module("bank", std::move(bank))), activation_(activation_of(c.activation)) {
    constexpr int64_t kHashWidth = 32;  // more directions than that make buckets of one row
    const auto generator = make_generator(derive_seed(static_cast<uint64_t>(c.lsh_seed), "lsh", 0));
    std::vector<at::Tensor> rotations;
    for (int64_t h = 0; h < c.lsh_hashes; ++h) {
      const auto normal_DD = at::randn({c.model_dim, c.model_dim}, generator);
      rotations.push_back(std::get<0>(at::linalg_qr(normal_DD)).narrow(1, 0, std::min(kHashWidth, c.model_dim)));
    }
    rotation_HDC_ = at::stack(rotations);
  }

  at::Tensor forward(const ExpertInput& input) override {
    const auto& plan = input.plan;
    const auto x_RD = ops::permute_rows(input.x_TD, plan);
    const auto hash_RH = hashes_of(x_RD, rotation_HDC_.to(x_RD.device()));
    const auto key_RK = at::cat({plan.expert_R.unsqueeze(1), hash_RH}, 1);
    const auto [key_UK, bucket_R, count_U] = at::unique_dim(key_RK, 0, /*sorted=*/true, /*return_inverse=*/true,
                                                            /*return_counts=*/true);
    const int64_t U = key_UK.size(0);
    rows_ += x_RD.size(0);
    buckets_ += U;
    const auto weights = input.weight_N.options().requires_grad(false);
    const auto joined = ops::make_dispatch_plan(bucket_R, at::zeros_like(bucket_R), U, 1);
    const auto centre_UD =
        ops::combine_rows(x_RD.index_select(0, joined.row_R),
                          count_U.to(input.weight_N.scalar_type()).reciprocal().index_select(0, bucket_R), joined);
    const auto alone =
        ops::make_dispatch_plan(at::arange(U, key_UK.options()), key_UK.select(1, 0).contiguous(), U, plan.num_experts);
    const auto result_UD = bank_->forward({.x_TD = centre_UD, .plan = alone, .weight_N = at::ones({U}, weights)});
    const auto y_RD = x_RD + (result_UD - centre_UD).index_select(0, bucket_R);
    return add_shared(ops::combine_rows(y_RD, input.weight_N, plan), input, activation_);
  }

  at::Tensor cost_E() const override { return bank_->cost_E(); }

  JoinedRows joined() const { return {.rows = rows_, .buckets = buckets_}; }

 private:
  std::shared_ptr<ExpertBank> bank_;
  ops::Activation activation_;
  at::Tensor rotation_HDC_;  // from the seed, so no buffer
  std::atomic<int64_t> rows_ = 0, buckets_ = 0;
};

}  // namespace

std::shared_ptr<ExpertBank> compress_rows(std::shared_ptr<ExpertBank> bank, const ExpertBankConfig& config) {
  return std::make_shared<CompressedBank>(std::move(bank), config);
}

JoinedRows joined_rows(const ExpertBank& bank) {
  const auto* compressed = dynamic_cast<const CompressedBank*>(&bank);
  return compressed == nullptr ? JoinedRows{} : compressed->joined();
}

}  // namespace polyphony::moe
