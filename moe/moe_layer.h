// SPDX-License-Identifier: Apache-2.0
// One modality-aware MoE layer: route -> dispatch -> experts -> combine, plus a shared expert.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/nn/linear.h"
#include "moe/capacity.h"
#include "moe/expert_bank.h"
#include "moe/losses/registry.h"
#include "moe/router.h"

namespace polyphony {
class Section;
}

namespace polyphony::moe {

// A recipe's [moe] table. Any router goes with any expert kind; there is no class per combination.
struct MoEConfig {
  RouterConfig router;                    // num_experts follows from the groups where there are groups
  ExpertBankConfig experts;               // model_dim and num_experts follow from the router
  int64_t shared_hidden = 0;              // width of the shared expert; 0: none
  std::vector<ExpertGroup> groups = {};   // who may use which experts; empty: everyone uses all of router.num_experts
  std::vector<Modality> modalities = {};  // that the model will see: each must reach an expert
  // shared_hidden > 0: the shared expert is added with weight 1 (none), with the sigmoid of a gate (sigmoid; Qwen2-MoE,
  // arXiv:2407.10671), or both parts are weighted by a softmax (residual; PR-MoE, arXiv:2201.05596).
  std::string shared_gate = "none";
  CapacityConfig capacity = {};                // [moe.capacity]
  std::vector<LossConfig> losses = {};         // [[moe.losses]], for whoever trains
  std::vector<int64_t> experts_by_layer = {};  // a pyramid (PR-MoE): num_experts of each layer; empty: all alike

  // Reads `[moe]`; moe_config.cpp lists the keys. Throws ConfigError.
  static MoEConfig from(const Section& section, int64_t model_dim);
  bool operator==(const MoEConfig&) const = default;
};

// What a [moe] table chooses beside sizes: router, kind of experts, capacity, losses, gate of the shared expert. For
// models that have their sizes from elsewhere. Throws ConfigError.
MoEConfig read_moe_choices(const Section& section);
// The same as a table, and the sizes of the kind of experts: what a recipe would say.
nlohmann::ordered_json moe_choices_json(const MoEConfig& config);

// The config with every derived number filled in. Throws ConfigError on pairs that cannot be.
MoEConfig resolved(MoEConfig config);

// The config of one layer of a model of `depth`: the router knows its layer, and the number of experts is the layer's
// own where experts_by_layer gives it. Throws ConfigError.
MoEConfig config_of_layer(MoEConfig config, int64_t layer, int64_t depth);

struct MoEOutput {
  at::Tensor y_TD;
  Routing routing;  // for losses, metrics and whoever shows expert choices
};

// Parameters: gate.* (router), experts.* (bank), shared_experts.{w13,w2}, shared_expert_gate.{weight,bias}.
class MoELayer : public torch::nn::Module {
 public:
  explicit MoELayer(const MoEConfig& config);

  // Routes and computes. The layer fills in context.allowed_ME and context.training. Throws ShapeError.
  MoEOutput forward(RoutingContext context);
  // Computes with a given routing: replay, recomputation, one decision for several layers.
  MoEOutput forward(const at::Tensor& x_TD, Routing routing);

  const std::shared_ptr<Router>& router() const { return router_; }
  const MoEConfig& config() const { return config_; }
  const std::shared_ptr<ExpertBank>& experts() const { return experts_; }

 private:
  at::Tensor through_slots(const at::Tensor& x_TD, const SlotMixing& slots);
  at::Tensor with_shared(const at::Tensor& routed_TD, const at::Tensor& x_TD, const at::Tensor& shared_weight_T);

  MoEConfig config_;
  std::shared_ptr<Router> router_;
  std::shared_ptr<ExpertBank> experts_;
  std::shared_ptr<class SharedMlp> shared_;  // null without a shared expert
  nn::Linear shared_gate_{nullptr};          // null without a gate of the shared expert
  at::Tensor allowed_ME_;  // bool, from config.groups; no buffer: a checkpoint need not repeat its config
};

}  // namespace polyphony::moe
