// SPDX-License-Identifier: Apache-2.0
// Recurrent router: one GRU cell, shared by all layers, carries a state per token from layer to layer, and the gate
// reads the state. The recurrence runs over depth, so tokens stay independent of one another.
// Source: Layerwise Recurrent Router, RMoE (arXiv:2408.06793) section 3; GRU as in PyTorch, with biases.
#include <ATen/ATen.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/modules/rnn.h>

#include "core/check.h"
#include "moe/routers/entry.h"
#include "moe/routers/token_choice.h"
#include "moe/routers/weights.h"

namespace polyphony::moe {
namespace {

class RecurrentRouter final : public Router {
 public:
  explicit RecurrentRouter(const RouterConfig& config) : config_(config) {
    check_weight_settings(config);
    weight_ = register_parameter("weight", gate_weight(config.num_experts, config.state_dim));
    projection_ = register_parameter("projection", gate_weight(config.state_dim, config.model_dim));
    cell_ = std::make_shared<torch::nn::GRUCellImpl>(config.state_dim, config.state_dim);
    register_module("cell", cell_);
  }

  RouterTraits traits() const override {
    return {.fixed_rows_per_token = true, .weights_sum_to_one = weights_sum_to_one(config_), .carries_state = true};
  }

  Routing route(const RoutingContext& context) override {
    const auto state_TP = next_state(context);
    auto routing = token_choice(context, gate_logits(state_TP, weight_), config_);
    routing.state_TP = state_TP;
    return routing;
  }

  std::shared_ptr<torch::nn::Module> shared_part() const override { return cell_; }

  // The borrowed cell stays registered where it came from alone: one owner, so that it is stored and stepped once.
  void share(const std::shared_ptr<torch::nn::Module>& part) override {
    auto cell = std::dynamic_pointer_cast<torch::nn::GRUCellImpl>(part);
    check<ConfigError>(cell != nullptr && cell->options.hidden_size() == config_.state_dim,
                       "[moe] router 'recurrent' can only share a GRU cell of state_dim ", config_.state_dim);
    if (cell == cell_) return;
    if (named_children().contains("cell")) unregister_module("cell");
    cell_ = std::move(cell);
  }

 private:
  at::Tensor next_state(const RoutingContext& context) const {
    const int64_t T = context.x_TD.size(0), P = config_.state_dim;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto input_TP = gate_logits(with_jitter(context, config_.jitter), projection_);
    const auto& before = context.state_TP;
    check<ShapeError>(!before.defined() || (before.dim() == 2 && before.size(0) == T && before.size(1) == P),
                      "[router] state must be (", T, ", ", P, ")");
    auto state_TP = before.defined() && config_.recurrence != "reset" ? before.to(input_TP.scalar_type())
                                                                      : at::zeros({T, P}, input_TP.options());
    if (config_.recurrence == "detach") state_TP = state_TP.detach();
    return cell_->forward(input_TP, state_TP);
  }

  RouterConfig config_;
  at::Tensor weight_, projection_;
  std::shared_ptr<torch::nn::GRUCellImpl> cell_;
};

}  // namespace

RouterEntry recurrent_router() {
  return {.summary = "top-k on the state of a GRU cell that all layers share",
          .source = "RMoE (arXiv:2408.06793) 3",
          .options = {"experts_per_token", "score", "weight_from", "normalise", "routed_scaling_factor",
                      "router_jitter_noise", "state_dim", "recurrence"},
          .make = &make_of<RecurrentRouter>};
}

}  // namespace polyphony::moe
