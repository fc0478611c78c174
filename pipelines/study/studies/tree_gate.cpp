// SPDX-License-Identifier: Apache-2.0
// System 33: a gate made of trees, on data that a tree of experts made.
#include <ATen/ATen.h>

#include <cmath>

#include "core/rng.h"
#include "moe/router.h"
#include "pipelines/study/fit.h"
#include "pipelines/study/open_routing.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kWidth = 20, kExperts = 8, kDepth = 3, kBatch = 256, kTestRows = 16384;
constexpr double kNoise = 0.1;
constexpr FitPlan kPlan{.steps = 6000, .learning_rate = 5e-3};
constexpr double kEntropyWeight = 0.1;  // presses a smooth gate towards few experts

// Eight linear functions of x, one of which holds wherever the three splits on x's way down a tree lead.
struct Planted {
  at::Tensor slope_ED, height_E, split_ND;  // N = 7 splits in heap order

  explicit Planted(uint64_t seed) {
    auto g = make_generator(derive_seed(seed, "planted"));
    slope_ED = at::randn({kExperts, kWidth}, g) / std::sqrt(static_cast<double>(kWidth));
    height_E = at::randn({kExperts}, g);
    split_ND = at::randn({kExperts - 1, kWidth}, g);
  }

  at::Tensor expert_of(const at::Tensor& x_TD) const {
    const auto right_TN = (at::mm(x_TD, split_ND.t()) > 0).to(at::kLong);
    auto node_T = at::zeros({x_TD.size(0)}, at::kLong);
    for (int64_t level = 0; level < kDepth; ++level)
      node_T = 2 * node_T + 1 + right_TN.gather(1, node_T.unsqueeze(1)).squeeze(1);
    return node_T - (kExperts - 1);
  }

  at::Tensor value(const at::Tensor& x_TD) const {
    const auto all_TE = at::addmm(height_E, x_TD, slope_ED.t());
    return all_TE.gather(1, expert_of(x_TD).unsqueeze(1)).squeeze(1);
  }
};

// What a hash can go by in numbers: the signs of the first eight.
at::Tensor sign_ids(const at::Tensor& x_TD) {
  const auto bit_T8 = (x_TD.narrow(1, 0, 8) > 0).to(at::kLong);
  return (bit_T8 * at::pow(2, at::arange(8))).sum(1);
}

class Mixture : public torch::nn::Module {
 public:
  explicit Mixture(const moe::RouterConfig& router) {
    router_ = register_module("gate", moe::make_router(router));
    slope_ED_ = register_parameter("slope", at::randn({kExperts, kWidth}) * 0.1);
    height_E_ = register_parameter("height", at::zeros({kExperts}));
  }

  struct Output {
    at::Tensor y_T;
    moe::Routing routing;
  };
  Output forward(const at::Tensor& x_TD, int64_t step) {
    auto context = open_context(x_TD, kExperts, is_training(), step);
    context.token_id_T = sign_ids(x_TD);
    auto routing = router_->route(context);
    const auto all_TE = at::addmm(height_E_, x_TD, slope_ED_.t());
    return {.y_T = (weight_table(routing) * all_TE).sum(1), .routing = std::move(routing)};
  }

 private:
  std::shared_ptr<moe::Router> router_;
  at::Tensor slope_ED_, height_E_;
};

StudyMetrics run_arm(const StudyRun& run, moe::RouterConfig router, double search_share) {
  router.model_dim = kWidth;
  router.num_experts = kExperts;
  router.search_steps = static_cast<int64_t>(search_share * static_cast<double>(steps_of(kPlan, run)));
  const Planted planted(run.seed);
  Mixture model(router);
  fit(model, run, kPlan, [&](int64_t step) {
    auto g = make_generator(derive_seed(run.seed, "data", static_cast<uint64_t>(step)));
    const auto x_TD = at::randn({kBatch, kWidth}, g);
    const auto wanted_T = planted.value(x_TD) + kNoise * at::randn({kBatch}, g);
    const auto out = model.forward(x_TD, step);
    const auto loss = at::mse_loss(out.y_T, wanted_T);
    return out.routing.own_loss.defined() ? loss + kEntropyWeight * out.routing.own_loss : loss;
  });
  const c10::NoGradGuard no_grad;
  auto g = make_generator(derive_seed(run.seed, "test"));
  const auto x_TD = at::randn({kTestRows, kWidth}, g);
  const auto wanted_T = planted.value(x_TD);
  const auto out = model.forward(x_TD, 0);
  const double per_sample = static_cast<double>(out.routing.token_N.size(0)) / kTestRows;
  return {{"error", (at::mse_loss(out.y_T, wanted_T) / wanted_T.var()).item<double>()},
          {"experts_per_token", per_sample},
          {"active", per_sample * kWidth}};
}

StudyArm arm(const std::string& name, const std::string& what, const moe::RouterConfig& router,
             double search_share = 0) {
  return {.name = name, .what = what, .run = [=](const StudyRun& run) { return run_arm(run, router, search_share); }};
}

moe::RouterConfig top(int64_t experts) {
  auto config = moe::router_defaults("topk");
  config.experts_per_token = experts;
  return config;
}

moe::RouterConfig tree() {
  auto config = moe::router_defaults("tree");
  config.num_trees = 2;
  config.step_width = 0.5;
  return config;
}

}  // namespace

Study tree_gate_study() {
  return {
      .name = "tree_gate",
      .title = "A gate made of trees",
      .source = "COMET (KDD 2023), sections 3 to 5",
      .setting =
          "Regression on 20 normal numbers: one of 8 hidden linear functions holds, chosen by a random tree of "
          "depth 3. Each arm has 8 linear experts, of which gates take 2 or 4 or, where they are smooth, as many as "
          "they leave; 6,000 steps of 256 samples. "
          "Error is the mean square on 16,384 new samples, divided by the variance of the truth.",
      .caveat =
          "The data were made by a tree, so the tree gate can be exact where the others cannot. This shows that "
          "it finds such a structure, not that natural data have one.",
      .num_seeds = 5,
      .arms = {arm("hash", "2 experts by the signs of 8 inputs; nothing learned", moe::router_defaults("hash")),
               arm("top-2", "softmax gate, the 2 best experts", top(2)),
               arm("top-4", "softmax gate, the 4 best experts", top(4)),
               arm("dselect-2", "2 smooth binary codes", moe::router_defaults("dselect_k")),
               arm("tree", "2 smooth trees", tree()),
               arm("tree with search", "2 smooth trees; the first tenth of the steps orders the experts on the leaves",
                   tree(), 0.1)},
      .claims = {{.text = "The tree gate errs less than hashing.",
                  .metric = "error",
                  .arm = "tree with search",
                  .than = "hash"},
                 {.text = "The tree gate errs less than top-2.",
                  .metric = "error",
                  .arm = "tree with search",
                  .than = "top-2"},
                 {.text = "The tree gate errs less than top-4, though it computes no more experts.",
                  .metric = "error",
                  .arm = "tree with search",
                  .than = "top-4"},
                 {.text = "The tree gate errs less than DSelect-2.",
                  .metric = "error",
                  .arm = "tree with search",
                  .than = "dselect-2"},
                 {.text = "Searching the experts' order lowers the error of the tree gate.",
                  .metric = "error",
                  .arm = "tree with search",
                  .than = "tree"},
                 {.text = "The tree gate ends with at most 2.05 experts a sample, though nothing cuts it off.",
                  .metric = "experts_per_token",
                  .arm = "tree with search",
                  .factor = 2.05}}};
}

}  // namespace polyphony::pipelines
