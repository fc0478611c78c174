// SPDX-License-Identifier: Apache-2.0
// The table of all losses. To add one: a file here with its function, and one row below.
#include "moe/losses/registry.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/check.h"
#include "moe/losses/first_choice_balance.h"
#include "moe/losses/global_balance.h"
#include "moe/losses/heterogeneous_balance.h"
#include "moe/losses/importance_load.h"
#include "moe/losses/load_balance.h"
#include "moe/losses/mutual_information.h"
#include "moe/losses/predictor.h"
#include "moe/losses/router_entropy.h"
#include "moe/losses/router_similarity.h"
#include "moe/losses/router_z.h"

namespace polyphony::moe {
namespace {

using Needs = std::vector<std::string>;

struct Row {
  std::string name, summary, source;
  Needs needs;
  std::vector<std::string_view> options;
  at::Tensor (*loss)(const Routing&, const LossConfig&, const LossInput&);  // null: not of a routing alone
};

LoadBalanceOptions balance_options(const LossConfig& c, const LossInput& in) {
  const auto groups = c.by_group ? in.groups : std::vector<ExpertGroup>{};
  return {.scope = {.modality_T = in.modality_T, .groups = groups},
          .unit = c.unit == "row" ? LoadUnit::row : LoadUnit::token};
}

// i64 (E): equal runs of experts.
at::Tensor device_of_experts(const Routing& r, int64_t num_devices) {
  check<ConfigError>(r.num_experts % num_devices == 0, "[moe.losses] num_devices must divide num_experts ",
                     r.num_experts, ", got ", num_devices);
  return at::arange(r.num_experts, r.token_N.options()).floor_divide(r.num_experts / num_devices);
}

at::Tensor eta_of(const Routing& r, const LossConfig& c, const LossInput& in) {
  check<ShapeError>(in.cost_E.defined() && in.cost_E.dim() == 1 && in.cost_E.size(0) == r.num_experts,
                    "[losses] heterogeneous balance needs the costs of ", r.num_experts, " experts");
  const auto eta_E = at::where(in.cost_E > 0, 1.0, c.dear_share);
  return at::cat({eta_E, at::full({r.num_null}, c.dear_share, eta_E.options())});
}

#define OF_ROUTING(...)                                                                              \
  [](const Routing& r, [[maybe_unused]] const LossConfig& c, [[maybe_unused]] const LossInput& in) { \
    return __VA_ARGS__;                                                                              \
  }

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"expert_balance",
       "E sum f P over all choices: frequency times probability",
       "DeepSeekMoE (arXiv:2401.06066) (12)",
       {"scores"},
       {"unit", "by_group"},
       OF_ROUTING(load_balance_loss(r, balance_options(c, in)))},
      {"sequence_balance",
       "the same within each sample",
       "DeepSeek-V3 (arXiv:2412.19437) (17)",
       {"scores", "samples"},
       {"unit", "by_group"},
       OF_ROUTING(sequence_balance_loss(r, in.sample_T, balance_options(c, in)))},
      {"device_balance",
       "the same between devices, each a run of experts",
       "DeepSeekMoE (arXiv:2401.06066) (15)",
       {"scores"},
       {"num_devices"},
       OF_ROUTING(device_balance_loss(r, device_of_experts(r, c.num_devices)))},
      {"global_balance",
       "the same with the frequencies of the global batch",
       "Demons in the Detail (arXiv:2501.11873)",
       {"scores"},
       {},
       OF_ROUTING(global_balance_loss(r, in.count_E.defined() ? in.count_E : counts_of_experts(r)))},
      {"switch",
       "E sum f P over first choices",
       "Switch (arXiv:2101.03961) (4)",
       {"scores"},
       {},
       OF_ROUTING(first_choice_balance_loss(r))},
      {"gshard",
       "the same within each sample",
       "GShard (arXiv:2006.16668) algorithm 1",
       {"scores", "samples"},
       {},
       OF_ROUTING(first_choice_balance_loss(r, in.sample_T))},
      {"null_balance",
       "expert_balance whose null experts share one mean frequency",
       "AdaMoE (arXiv:2406.13233) 3",
       {"scores", "null experts"},
       {"unit"},
       OF_ROUTING(load_balance_loss(r, {.unit = balance_options(c, in).unit}))},
      {"heterogeneous_balance",
       "E sum eta f P: experts that cost nothing get more",
       "MoE++ (arXiv:2410.07348)",
       {"scores"},
       {"dear_share"},
       OF_ROUTING(heterogeneous_balance_loss(r, eta_of(r, c, in)))},
      {"importance",
       "squared variation of the experts' probabilities",
       "Sparsely-gated MoE (arXiv:1701.06538) (7)",
       {"scores"},
       {},
       OF_ROUTING(importance_loss(r))},
      {"load",
       "squared variation of the chances to be chosen under noise",
       "V-MoE (arXiv:2106.05974)",
       {"noise"},
       {},
       OF_ROUTING(load_loss(r))},
      {"router_z",
       "squared log-sum of the logits: keeps them small",
       "ST-MoE (arXiv:2202.08906) (5)",
       {"logits"},
       {},
       OF_ROUTING(router_z_loss(r))},
      {"router_entropy",
       "entropy of each token's probabilities: tokens become sure",
       "Dynamic routing (arXiv:2403.07652), dynamic loss",
       {"logits"},
       {},
       OF_ROUTING(router_entropy_loss(r))},
      {"mutual_information",
       "tokens sure, experts even: minus their mutual information",
       "Dense Training, Sparse Inference (arXiv:2404.05567)",
       {"logits"},
       {},
       OF_ROUTING(mutual_information_loss(r))},
      {"router_similarity",
       "balance of experts and of pairs of experts",
       "Expert Race (arXiv:2503.16057) (9)-(11)",
       {"logits"},
       {},
       OF_ROUTING(router_similarity_loss(r))},
      {"predictor",
       "binary cross entropy of an auxiliary router with the choices",
       "MoMa (arXiv:2407.21770); DiffMoE (arXiv:2503.14487)",
       {"predictor"},
       {},
       OF_ROUTING(predictor_loss(r))},
      {"router_own",
       "what the router itself wants small: entropy of a tree's or mixture's switches",
       "COMET (KDD 2023); DSelect-k (arXiv:2106.03760)",
       {"own loss"},
       {},
       OF_ROUTING(r.own_loss)},
      {"gate_contrastive",
       "gates of one sample close, of others far",
       "AW-MoE (arXiv:2306.05011)",
       {"the gates of two views"},
       {},
       nullptr},
      {"prototype_contrastive",
       "prototypes close to the mean of their tokens",
       "ProMoE (arXiv:2510.24711)",
       {"prototypes and tokens"},
       {},
       nullptr},
      {"consistency",
       "symmetric divergence of two random passes",
       "THOR (arXiv:2110.04260)",
       {"the outputs of two passes"},
       {},
       nullptr},
  };
  return all;
}
#undef OF_ROUTING

const Row& find(const std::string& name) {
  std::string names;
  for (const auto& row : rows()) {
    if (row.name == name) return row;
    names += (names.empty() ? "" : ", ") + row.name;
  }
  fail<ConfigError>("[moe.losses] name must be one of ", names, "; got '", name, "'");
}

bool takes(const Row& row, std::string_view key) {
  return key == "weight" || std::find(row.options.begin(), row.options.end(), key) != row.options.end();
}

bool serves(const Routing& r, const std::string& need) {
  if (need == "scores") return r.score_TE.defined();
  if (need == "logits") return r.logits_TE.defined();
  if (need == "noise") return r.noise_TE.defined() && r.noise_width_TE.defined();
  if (need == "predictor") return r.predictor_TE.defined();
  if (need == "own loss") return r.own_loss.defined();
  if (need == "null experts") return r.num_null > 0;
  return true;  // samples: the input's
}

}  // namespace

const std::vector<Option<LossConfig>>& loss_options() {
  using C = LossConfig;
  static const std::vector<Option<C>> options = {
      {"weight", &C::weight, "multiplies the loss of each layer", {.min = 0}},
      {"unit", &C::unit, "what a choice counts against", {}, {"row", "token"}},
      {"by_group", &C::by_group, "each expert group is balanced by itself"},
      {"num_devices", &C::num_devices, "equal runs of experts", {.min = 1}},
      {"dear_share", &C::dear_share, "share of a dear expert against one that costs nothing", {.max = 1, .above = 0}},
  };
  return options;
}

LossConfig LossConfig::from(const Section& section) {
  LossConfig config;
  config.name = section.required_text("name");
  for (const auto& option : loss_options())
    if (section.has(option.key)) read_option(section, option, config);
  check_loss(config);
  return config;
}

void check_loss(const LossConfig& config) {
  const auto& row = find(config.name);
  check<ConfigError>(row.loss != nullptr, "[moe.losses] '", config.name, "' is no loss of a routing: it needs ",
                     row.needs.front());
  const LossConfig unset;
  for (const auto& option : loss_options()) {
    check_option(option, config);
    const auto value = value_of(option, config);
    check<ConfigError>(takes(row, option.key) || value == value_of(option, unset), "[moe.losses] '", config.name,
                       "' takes no ", option.key, " (got ", to_text(value), ")");
  }
}

void check_loss_fits(const LossConfig& config, const Routing& example, const std::string& router) {
  check_loss(config);
  for (const auto& need : find(config.name).needs)
    check<ConfigError>(serves(example, need), "[moe.losses] '", config.name, "' needs a router with ", need,
                       "; router '", router, "' has none");
  if (takes(find(config.name), "num_devices")) device_of_experts(example, config.num_devices);
}

at::Tensor auxiliary_loss(const LossConfig& config, const Routing& routing, const LossInput& input) {
  check_loss(config);
  return find(config.name).loss(routing, config, input);
}

at::Tensor auxiliary_loss(const std::vector<LossConfig>& losses, const std::vector<Routing>& routings,
                          const LossInput& input) {
  auto sum = at::zeros({});
  for (const auto& config : losses)
    for (const auto& routing : routings) sum = sum + config.weight * auxiliary_loss(config, routing, input);
  return sum;
}

std::vector<LossInfo> loss_infos() {
  std::vector<LossInfo> infos;
  for (const auto& row : rows()) {
    infos.push_back({.name = row.name,
                     .summary = row.summary,
                     .source = row.source,
                     .needs = row.needs,
                     .of_routing = row.loss != nullptr});
    for (const auto& option : loss_options())
      if (row.loss != nullptr && takes(row, option.key))
        infos.back().options.push_back(option_info(option, LossConfig{}));
  }
  return infos;
}

}  // namespace polyphony::moe
