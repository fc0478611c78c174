// SPDX-License-Identifier: Apache-2.0
// Tree router: k soft binary trees whose splits saturate to exactly 0 or 1, so that in the end each tree leads a token
// to one expert, with an exact gradient on the way there; which expert hangs on which leaf can be learned, too. Source:
// COMET (KDD 2023, "COMET: Learning Cardinality Constrained Mixture of Experts with Trees and Local Search") sections 3
// and 4 and its code. Local search: during search_steps a Sinkhorn matrix stands between leaves and experts, at a
// temperature from `temperature` to `temperature_end`; then it is rounded to the best permutation and stays.
#include <ATen/ATen.h>

#include <limits>

#include "moe/assignment.h"
#include "moe/routers/entry.h"
#include "moe/routers/noise.h"
#include "moe/routers/selection.h"
#include "moe/routers/smooth_step.h"

namespace polyphony::moe {
namespace {

// Rows and columns of exp(logits) scaled in turn until both sum to one.
at::Tensor sinkhorn(at::Tensor log_EE, int64_t iterations) {
  for (int64_t i = 0; i < iterations; ++i) {
    log_EE = log_EE - log_EE.logsumexp(1, /*keepdim=*/true);
    log_EE = log_EE - log_EE.logsumexp(0, /*keepdim=*/true);
  }
  return log_EE.exp();
}

class TreeRouter final : public Router {
 public:
  explicit TreeRouter(const RouterConfig& config) : config_(config) {
    const int64_t E = config.num_experts, J = config.num_trees, D = config.model_dim;
    const double small = config.step_width / 100;  // every split starts on its slope
    weight_ = register_parameter("weight", at::empty({J * E, D}).uniform_(-0.05, 0.05));
    bias_ = register_parameter("bias", at::zeros({J * E}));
    split_weight_ = register_parameter("split_weight", at::empty({(E - 1) * J, D}).uniform_(-small, small));
    split_bias_ = register_parameter("split_bias", at::empty({(E - 1) * J}).uniform_(-small, small));
    if (config.search_steps == 0) return;
    order_logits_ = register_parameter("order_logits", at::empty({E, E}).normal_(0, 0.01));
    leaf_of_expert_ = register_buffer("leaf_of_expert", at::arange(E));
    step_ = register_buffer("schedule_step", at::zeros({1}, at::kLong));
    is_rounded_ = register_buffer("is_rounded", at::zeros({1}, at::kLong));
  }

  RouterTraits traits() const override { return {.weights_sum_to_one = true}; }

  Routing route(const RoutingContext& context) override {
    const int64_t T = context.x_TD.size(0), E = config_.num_experts, J = config_.num_trees;
    const auto reach_TJE = reach(context.x_TD);
    const auto score_TJE = (gate_logits(context.x_TD, weight_) + bias_).reshape({T, J, E});
    const auto log_TJE =
        (score_TJE + (reach_TJE + 1e-8).log()).masked_fill(reach_TJE <= 0, -std::numeric_limits<double>::infinity());
    const auto leaf_TE = log_TJE.reshape({T, J * E}).softmax(1).reshape({T, J, E}).sum(1);
    std::optional<int64_t> most;
    if (context.experts_per_token) most = rank_of(context, config_);
    auto routing = route_by_gates(context, in_order(leaf_TE, context), most);
    if (T > 0) routing.own_loss = entropy_of(reach_TJE).sum(1).mean();
    return routing;
  }

 private:
  // (T, J, E): how much of a token reaches each leaf; sums to one in every tree. Nodes in heap order: children of i are
  // 2 i + 1 and 2 i + 2, leaves are nodes E - 1 and up.
  at::Tensor reach(const at::Tensor& x_TD) const {
    const int64_t T = x_TD.size(0), E = config_.num_experts, J = config_.num_trees;
    std::vector<at::Tensor> reach_TJ(static_cast<size_t>(2 * E - 1));
    reach_TJ[0] = at::ones({T, J}, x_TD.options().dtype(gate_dtype(x_TD)));
    if (E > 1) {
      const auto left = smooth_step(gate_logits(x_TD, split_weight_) + split_bias_, config_.step_width);
      const auto left_NTJ = left.reshape({T, E - 1, J}).unbind(1);
      for (size_t i = 0; i + 1 < static_cast<size_t>(E); ++i) {
        reach_TJ[2 * i + 1] = reach_TJ[i] * left_NTJ[i];
        reach_TJ[2 * i + 2] = reach_TJ[i] * (1 - left_NTJ[i]);
      }
    }
    return at::stack(std::vector<at::Tensor>(reach_TJ.end() - E, reach_TJ.end()), 2);
  }

  // Leaves' gates as experts' gates.
  at::Tensor in_order(const at::Tensor& leaf_TE, const RoutingContext& context) {
    if (!order_logits_.defined()) return leaf_TE;
    const int64_t step = schedule_step(context, step_);
    const bool was_rounded = is_rounded_.item<int64_t>() != 0;
    if (context.training && !was_rounded && step < config_.search_steps) {
      const Schedule temperature{config_.temperature, config_.temperature_end, config_.search_steps, true};
      const Schedule iterations{20, 150, config_.search_steps};
      return at::matmul(
          leaf_TE, sinkhorn(order_logits_ / temperature.at_step(step), static_cast<int64_t>(iterations.at_step(step)))
                       .to(leaf_TE.scalar_type()));
    }
    if (was_rounded) return leaf_TE.index_select(1, leaf_of_expert_);
    // Row: leaf, column: expert.
    const auto leaf_of_expert = linear_assignment(order_logits_.t());
    if (context.training) {
      const at::NoGradGuard no_grad;
      leaf_of_expert_.copy_(leaf_of_expert);
      is_rounded_.fill_(1);
    }
    return leaf_TE.index_select(1, leaf_of_expert);
  }

  RouterConfig config_;
  at::Tensor weight_, bias_, split_weight_, split_bias_, order_logits_, leaf_of_expert_, step_, is_rounded_;
};

}  // namespace

RouterEntry tree_router() {
  return {.summary = "soft trees that saturate to one expert each; the experts' order on the leaves can be searched",
          .source = "COMET (KDD 2023) 3, 4",
          .options = {"num_trees", "step_width", "search_steps", "temperature", "temperature_end"},
          .defaults = {.temperature = 1.0, .temperature_end = 1e-3, .step_width = 10.0},
          .make = &make_of<TreeRouter>};
}

}  // namespace polyphony::moe
