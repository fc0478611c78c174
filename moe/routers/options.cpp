// SPDX-License-Identifier: Apache-2.0
// The keys of [moe] that routers take: where each goes, its range, and what it means.
#include "moe/router.h"

namespace polyphony::moe {

const std::vector<Option<RouterConfig>>& router_options() {
  using C = RouterConfig;
  static const std::vector<Option<C>> options = {
      {"experts_per_token", &C::experts_per_token, "experts of a token", {.min = 1}},
      {"score", &C::score, "what the logits become", {}, {"softmax", "sigmoid", "raw"}},
      {"weight_from", &C::weight_from, "weight of a chosen expert", {}, {"score", "softmax_selected", "sigmoid_logit"}},
      {"normalise", &C::normalise, "what a token's weights are divided by", {}, {"none", "sum", "sum_eps", "clamp"}},
      {"routed_scaling_factor", &C::scale, "multiplies the weights", {.above = 0}},
      {"choice_bias", &C::choice_bias, "a bias for choosing alone, moved by the load"},
      {"choice_bias_rate", &C::choice_bias_rate, "how far a step moves the choice bias", {.min = 0}},
      {"gate_per_modality", &C::gate_per_modality, "a gate for each modality over the same experts"},
      {"n_group", &C::num_groups, "equal groups (devices) of experts", {.min = 1}},
      {"topk_group", &C::groups_per_token, "groups that a token may use", {.min = 1}},
      {"group_score", &C::group_score, "how a group is scored", {}, {"max", "sum_top2"}},
      {"router_jitter_noise", &C::jitter, "input times U(1 - j, 1 + j) while training", {.min = 0, .below = 1}},
      {"top_p", &C::top_p, "probability that a token's experts must pass", {.min = 0, .max = 1}},
      {"num_null", &C::num_null, "experts that give zero and cost nothing", {.min = 0}},
      {"capacity_factor", &C::capacity_factor, "experts that a token gets on average", {.above = 0}},
      {"scope", &C::scope, "tokens that compete for an expert", {}, {"batch", "sample"}},
      {"inference", &C::inference, "what decides outside training", {}, {"choice", "predictor"}},
      {"predictor_hidden", &C::predictor_hidden, "width of the predictor, 0: half the model's", {.min = 0}},
      {"predictor_decay", &C::predictor_decay, "of the averaged threshold, 0: fixed at 0.5", {.min = 0, .below = 1}},
      {"state_dim", &C::state_dim, "width of the carried state", {.min = 1}},
      {"recurrence", &C::recurrence, "what passes between layers", {}, {"carry", "detach", "reset"}},
      {"hash_seed", &C::hash_seed, "seed of what is drawn once", {.min = 0}},
      {"hash_vocab_size", &C::hash_vocab_size, "ids are below it, 0: any id", {.min = 0}},
      {"hash_of", &C::hash_of, "what decides", {}, {"token", "label"}},
      {"gate_dim", &C::gate_dim, "width in which the gate compares", {.min = 1}},
      {"gate_hidden", &C::gate_hidden, "width of a tanh layer in the gate, 0: linear", {.min = 0}},
      {"distance_power", &C::distance_power, "1: distance, 2: its square", {.min = 1, .max = 2}},
      {"second_choice", &C::second_choice, "how the second expert is found", {}, {"best", "gumbel"}},
      {"second_policy", &C::second_policy, "when it is kept", {}, {"random", "threshold", "all", "none"}},
      {"second_threshold", &C::second_threshold, "weight from which it is always kept", {.max = 1, .above = 0}},
      {"noise", &C::noise, "width of the noise", {}, {"learned", "fixed"}},
      {"gate_noise", &C::gate_noise, "noise on the logits while training: at first,", {.min = 0}},
      {"gate_noise_end", &C::gate_noise_end, "at the end,", {.min = 0}},
      {"gate_noise_steps", &C::gate_noise_steps, "after so many steps", {.min = 0}},
      {"mixer_epsilon", &C::mixer_epsilon, "logits within 2 epsilon of the best compete", {.min = 0, .below = 0.5}},
      {"temperature", &C::temperature, "of the gate: at first,", {.above = 0}},
      {"temperature_end", &C::temperature_end, "at the end,", {.above = 0}},
      {"temperature_steps", &C::temperature_steps, "after so many steps", {.min = 0}},
      {"temperature_schedule", &C::temperature_schedule, "on the way", {}, {"exponential", "linear"}},
      {"gate_threshold", &C::gate_threshold, "weight below which an expert is left out", {.min = 0, .max = 1}},
      {"hard_after", &C::hard_after, "step from which one expert stays, -1: never", {.min = -1}},
      {"gate_activation", &C::gate_activation, "on the logits, before the temperature", {}, {"none", "tanh"}},
      {"step_width", &C::step_width, "width of the smooth step", {.above = 0}},
      {"num_trees", &C::num_trees, "trees, each of which chooses one expert", {.min = 1}},
      {"search_steps", &C::search_steps, "steps that learn the order of the experts", {.min = 0}},
      {"depth_capacity", &C::depth_capacity, "share of the tokens that enter the layer", {.max = 1, .above = 0}},
      {"draw", &C::draw, "what gets one draw outside training", {}, {"token", "sample", "average"}},
      {"slots_per_expert", &C::slots_per_expert, "mixtures that an expert computes", {.min = 1}},
      {"history", &C::history, "tokens that a token's gate sees", {}, {"past", "sample"}},
      {"history_dropout", &C::history_dropout, "share of them left out while training", {.min = 0, .below = 1}},
      {"null_label", &C::null_label, "label of unconditional samples, -1: none", {.min = -1}},
      {"look_ahead", &C::look_ahead, "1: the gate decides for the next layer", {.min = 0, .max = 1}},
      {"sample_tokens", &C::sample_tokens, "tokens of every sample, 0: their mean", {.min = 0}},
      {"combine", &C::combine, "what multiplies an expert's output", {}, {"gate", "sum", "none"}},
  };
  return options;
}

}  // namespace polyphony::moe
