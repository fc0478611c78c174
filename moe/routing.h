// SPDX-License-Identifier: Apache-2.0
// A routing is a value: the rows "token t goes to expert e with weight w", and what the losses need.
// Shapes: T tokens, D width, E routed experts, Z null experts, N rows, M modalities, B samples, P width of the carried
// state.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <vector>

#include "core/modality.h"

namespace polyphony::moe {

// What a router may look at. Only x_TD, modality_T and allowed_ME are always there.
struct RoutingContext {
  at::Tensor x_TD = {};         // hidden states that the router scores
  at::Tensor modality_T = {};   // u8, values of Modality
  at::Tensor allowed_ME = {};   // bool: may a token of modality m use expert e
  at::Tensor token_id_T = {};   // i64, see TokenSequence; undefined if unknown
  at::Tensor sample_T = {};     // i64, sample of each token; undefined means one sample
  at::Tensor timestep_T = {};   // f32 in [0, 1], 0 for tokens without one; undefined outside diffusion
  at::Tensor label_T = {};      // i64 class label of each token's sample; undefined if there is none
  at::Tensor attention_T = {};  // f32, attention that each token received in this block; undefined unless asked for
  at::Tensor state_TP = {};     // what this router returned as state in the layer before; undefined in the first
  int64_t layer = 0;
  int64_t step = 0;  // optimiser step, for schedules
  bool training = false;
  std::optional<at::Generator> generator = {};    // for noise; the default generator if empty
  std::optional<int64_t> experts_per_token = {};  // rank override at decode time
};

// Soft routing: expert slot_expert_S[s] computes the mixture mix_ST[s] of all tokens, and token t gets the sum of
// combine_TS[t] over the slots. Source: Soft MoE (arXiv:2308.00951).
struct SlotMixing {
  at::Tensor mix_ST = {};         // f32
  at::Tensor combine_TS = {};     // f32
  at::Tensor slot_expert_S = {};  // i64
};

// N rows in any order. Ids from E up are null experts: they stay in the value (losses count them), dispatch skips them.
struct Routing {
  at::Tensor token_N = {};    // i64 in [0, T)
  at::Tensor expert_N = {};   // i64 in [0, E + Z)
  at::Tensor weight_N = {};   // f32, combine weight (f64 for tokens in f64)
  at::Tensor logits_TE = {};  // f32 (T, E + Z), -inf where forbidden; undefined for routers without scores
  at::Tensor score_TE = {};   // f32 (T, E + Z), softmax or sigmoid of the logits; undefined likewise
  at::Tensor state_TP = {};   // carried to the next layer; undefined if the router carries nothing
  // What only some routers give; undefined otherwise.
  at::Tensor noise_TE = {};         // f32, what was added to the logits before choosing
  at::Tensor noise_width_TE = {};   // f32, its standard deviation: the load loss needs it
  at::Tensor predictor_TE = {};     // f32 logits of a predictor of the rows, (T, 1): of tokens that have any; it learns
                                    // from them alone
  at::Tensor shared_weight_T = {};  // f32, weight of the shared expert; undefined: 1
  at::Tensor own_loss = {};         // f32 scalar that the router wants small (entropy of its switches), to be weighted
  SlotMixing slots = {};            // experts compute mixtures of tokens; the rows are then each expert's share
  int64_t num_tokens = 0;           // T
  int64_t num_experts = 0;          // E, without null experts
  int64_t num_null = 0;             // Z
  // bool (N): false where a capacity dropped the row. Such rows stay in the value with weight 0, so that losses see
  // what was asked for; dispatch skips them. Undefined: all rows are kept.
  at::Tensor kept_N = {};
};

// bool (T, E): allowed_ME looked up for each token. Throws ShapeError if x, modality and allowed do not fit one
// another, or if a token has a modality that may use no expert.
at::Tensor allowed_of_token(const RoutingContext& context);

// f32 (f64 if they are) logits with -inf where the token's modality may not use the expert. Columns beyond those of
// allowed_TE belong to null experts and stay allowed.
at::Tensor mask_logits(const at::Tensor& logits_TE, const at::Tensor& allowed_TE);

// Checks rows, ids, dtypes and finite weights. Throws ShapeError.
void check_routing(const Routing& routing);

// A block of routed experts and the modalities that may use it (empty = all).
struct ExpertGroup {
  std::string name;
  std::vector<Modality> modalities = {};
  int64_t num_experts = 0;

  bool operator==(const ExpertGroup&) const = default;
};

// bool (M, E) from the groups; E is the sum of their sizes. Throws ConfigError if a group is empty or a modality named
// in `used` could reach no expert.
at::Tensor allowed_table(const std::vector<ExpertGroup>& groups, const std::vector<Modality>& used);

}  // namespace polyphony::moe
