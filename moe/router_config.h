// SPDX-License-Identifier: Apache-2.0
// Settings of all routers in one value. routers/options.cpp has their keys, ranges and one line each; a router refuses
// what it does not take (ConfigError).
#pragma once
#include <cstdint>
#include <string>

namespace polyphony::moe {

struct RouterConfig {
  std::string name = "topk";  // key in moe/routers/registry.cpp
  // The model's, not the recipe's.
  int64_t model_dim = 0;    // D
  int64_t num_experts = 0;  // E
  int64_t layer = 0;        // which of
  int64_t num_layers = 1;   // the model's MoE layers this router serves
  bool shared_expert = false;

  int64_t experts_per_token = 2;      // K
  std::string score = "softmax";      // softmax | sigmoid | raw (choose by the logits)
  std::string weight_from = "score";  // score | softmax_selected | sigmoid_logit
  std::string normalise = "sum";      // none | sum (divide by the sum of the chosen) | sum_eps (1e-20) | clamp (1e-12)
  double scale = 1.0;                 // multiplies the weights at the end
  bool choice_bias = false;           // a buffer added to the scores for choosing only
  double choice_bias_rate = 0.001;    // how far a training step moves it
  bool gate_per_modality = false;     // topk: a gate of its own for each modality over the same experts
  int64_t num_groups = 1;             // group-limited choice: experts in equal groups,
  int64_t groups_per_token = 1;       // of which this many stay
  std::string group_score = "max";    // max | sum_top2
  double jitter = 0.0;                // input times U(1-jitter, 1+jitter) while training
  double top_p = 0.4;
  int64_t num_null = 0;              // Z
  double capacity_factor = 1.0;      // expert choice: experts that a token gets on average
  std::string scope = "batch";       // batch | sample: the tokens that compete for an expert
  std::string inference = "choice";  // choice | predictor: who decides outside training
  int64_t predictor_hidden = 0;      // width of the predictor; 0: D / 2
  double predictor_decay = 0.0;      // of the threshold's average; 0: the threshold stays 0.5
  int64_t state_dim = 128;
  std::string recurrence = "carry";  // carry | detach (no gradient between layers) | reset (no memory)
  int64_t hash_seed = 0;
  int64_t hash_vocab_size = 0;           // ids are below it; 0: any id
  std::string hash_of = "token";         // token | label
  int64_t gate_dim = 16;                 // width that cosine and attention gates compare in
  int64_t gate_hidden = 0;               // width of a tanh layer in the gate; 0: a linear gate
  int64_t distance_power = 1;            // laplace: 1 the distance, 2 its square
  std::string second_choice = "best";    // gshard: best | gumbel
  std::string second_policy = "random";  // gshard: random | threshold | all | none
  double second_threshold = 0.5;
  std::string noise = "learned";  // noisy_topk: learned | fixed
  double gate_noise = 1.0;
  double gate_noise_end = 1.0;
  int64_t gate_noise_steps = 0;
  double mixer_epsilon = 0.1;  // logits closer to the best than 2 epsilon of it compete
  double temperature = 2.0;
  double temperature_end = 0.3;
  int64_t temperature_steps = 10000;
  std::string temperature_schedule = "exponential";  // exponential | linear
  double gate_threshold = 0.001;                     // experts below it are left out
  int64_t hard_after = -1;                           // step from which one expert stays; -1: never
  std::string gate_activation = "none";              // none | tanh
  double step_width = 1.0;                           // of the smooth step
  int64_t num_trees = 2;
  int64_t search_steps = 0;      // tree: steps in which the order of the experts is learned
  double depth_capacity = 0.25;  // mixture of depths: share of the tokens that enter
  std::string draw = "token";    // stochastic: token | sample | average
  int64_t slots_per_expert = 1;
  std::string history = "past";  // attention_weighted: past | sample
  double history_dropout = 0.0;
  int64_t null_label = -1;       // the label of unconditional samples; -1: there is none
  int64_t look_ahead = 1;        // pre_gated: layers ahead
  int64_t sample_tokens = 0;     // sample_select: tokens of every sample; 0: any number, averaged
  std::string combine = "gate";  // patch_select: gate | sum | none

  bool operator==(const RouterConfig&) const = default;
};

}  // namespace polyphony::moe
