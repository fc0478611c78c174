// SPDX-License-Identifier: Apache-2.0
// System 34: pictures and their captions in one sequence; experts of their own for each modality, or one pool for both.
#include <ATen/ATen.h>
#include <torch/nn/modules/embedding.h>

#include <algorithm>
#include <sstream>

#include "core/nn/linear.h"
#include "core/nn/rms_norm.h"
#include "core/rng.h"
#include "modalities/image/patch_encoder.h"
#include "moe/backbone/backbone.h"
#include "moe/losses/predictor.h"
#include "pipelines/data/scenes/grammar.h"
#include "pipelines/joint/sequence.h"
#include "pipelines/study/fit.h"
#include "pipelines/study/studies/list.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kDim = 64, kDepth = 2, kHeads = 2, kHidden = 128;
constexpr int64_t kShrink = 4, kPatch = 8, kRows = scenes::kImageSize / kShrink / kPatch;  // a patch is a grid cell
constexpr int64_t kPatchValues = 3 * kPatch * kPatch;
constexpr int64_t kBatch = 24, kTestBatches = 16;
constexpr uint64_t kFirstTest = uint64_t{1} << 32;  // scenes from here on are for testing
constexpr double kNoise = 0.5;                      // on pixels in [-1, 1]
constexpr double kImageWeight = 10.0;               // brings both losses to one size
constexpr FitPlan kPlan{.steps = 1200, .learning_rate = 3e-3};

// Words of the captions as ids, in the order of letters; 0 and 1 are the marks of begin and end.
std::vector<int64_t> word_ids(const std::string& caption) {
  static const auto words = scenes::vocabulary();
  std::vector<int64_t> ids;
  std::istringstream text(caption);
  for (std::string word; text >> word;) {
    if (word.back() == ',') word.pop_back();
    ids.push_back(2 + (std::lower_bound(words.begin(), words.end(), word) - words.begin()));
  }
  return ids;
}

int64_t vocabulary_size() { return 2 + static_cast<int64_t>(scenes::vocabulary().size()); }

struct PairBatch {
  at::Tensor clean_NV, noisy_NV;  // f32, patches of all pictures
  JointLayout layout;             // picture first, then its caption
};

PairBatch pair_batch(uint64_t seed, uint64_t first) {
  const auto scenes = scene_batch(scenes::SceneStream(seed, scenes::Split::train), first, kBatch);
  auto g = make_generator(derive_seed(seed, "noise", first));
  const auto clean_NV = image::patchify(at::avg_pool2d(scenes.pixels_BCHW, kShrink), kPatch).flatten(0, 1);
  JointTexts texts;
  for (const auto& scene : scenes.scenes) texts.caption.push_back(word_ids(scenes::canonical_caption(scene)));
  return {.clean_NV = clean_NV,
          .noisy_NV = clean_NV + kNoise * at::randn(clean_NV.sizes(), g),
          .layout = joint_layout(texts, {.image_rows = kRows, .image_columns = kRows, .begin_id = 0, .end_id = 1})};
}

// One expert for all is dense. The experts of a pool or a group take their best tokens, one expert a token on average.
moe::MoEConfig experts(int64_t text, int64_t image, int64_t shared_by_both) {
  const bool dense = shared_by_both == 1;
  moe::MoEConfig config{.router = moe::router_defaults(dense ? "uniform" : "causal_expert_choice"),
                        .experts = {.expert_hidden = kHidden},
                        .modalities = {Modality::text, Modality::image}};
  config.router.model_dim = kDim;
  if (dense) config.router.experts_per_token = 1;
  if (shared_by_both > 0) config.groups = {{.name = "both", .num_experts = shared_by_both}};
  if (text > 0) config.groups.push_back({.name = "text", .modalities = {Modality::text}, .num_experts = text});
  if (image > 0) config.groups.push_back({.name = "image", .modalities = {Modality::image}, .num_experts = image});
  return config;
}

class PairModel : public torch::nn::Module {
 public:
  explicit PairModel(const moe::MoEConfig& config) {
    const int64_t V = vocabulary_size();
    word_in_ = register_module("word_in", torch::nn::Embedding(V, kDim));
    patch_in_ = register_module("patch_in", nn::Linear(kPatchValues, kDim));
    backbone_ =
        register_module("backbone", std::make_shared<moe::Backbone>(moe::BackboneConfig{.dim = kDim,
                                                                                        .depth = kDepth,
                                                                                        .num_heads = kHeads,
                                                                                        .num_kv_heads = kHeads,
                                                                                        .rope_axis_dims = {16, 8, 8},
                                                                                        .moe = config}));
    norm_ = register_module("norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = kDim}));
    word_out_ = register_module("word_out", nn::Linear(kDim, V));
    patch_out_ = register_module("patch_out", nn::Linear(kDim, kPatchValues));
  }

  struct Output {
    at::Tensor text_loss, image_loss;  // nats a word; mean square of a pixel
    std::vector<moe::Routing> routings;
  };
  Output forward(const PairBatch& batch) {
    const auto& layout = batch.layout;
    auto sequence = layout.fields;
    sequence.tokens_TD =
        at::cat({word_in_->forward(at::tensor(layout.text_ids, at::kLong)), patch_in_->forward(batch.noisy_NV)})
            .index_select(0, layout.source_T);
    auto out = backbone_->forward(sequence);
    const auto hidden_TD = norm_->forward(out.hidden_TD);
    const auto word_PV = word_out_->forward(hidden_TD.index_select(0, layout.predict_rows));
    const auto patch_NV = patch_out_->forward(hidden_TD.index_select(0, tokens_of(sequence, Modality::image)));
    return {.text_loss = at::cross_entropy_loss(word_PV, layout.predict_targets),
            .image_loss = at::mse_loss(patch_NV, batch.clean_NV),
            .routings = std::move(out.routings)};
  }

 private:
  torch::nn::Embedding word_in_{nullptr};
  nn::Linear patch_in_{nullptr}, word_out_{nullptr}, patch_out_{nullptr};
  std::shared_ptr<moe::Backbone> backbone_;
  std::shared_ptr<nn::RmsNorm> norm_;
};

at::Tensor training_loss(const PairModel::Output& out) {
  auto loss = out.text_loss + kImageWeight * out.image_loss;
  for (const auto& routing : out.routings)  // reaches the auxiliary routers alone
    if (routing.predictor_TE.defined()) loss = loss + moe::predictor_loss(routing);
  return loss;
}

struct Scores {
  double text = 0, image = 0, experts = 0;
};

// Means over new scenes. by_token: auxiliary routers decide for each token by itself, as when a text is being written;
// otherwise the experts choose among the whole batch, as in training.
Scores scores(PairModel& model, const StudyRun& run, bool by_token) {
  const c10::NoGradGuard no_grad;
  model.train(!by_token);
  const int64_t batches = run.quick ? 2 : kTestBatches;
  const double share = 1.0 / static_cast<double>(batches);
  Scores sum;
  for (int64_t i = 0; i < batches; ++i) {
    const auto out = model.forward(pair_batch(run.seed, kFirstTest + static_cast<uint64_t>(i * kBatch)));
    sum.text += share * out.text_loss.item<double>();
    sum.image += share * out.image_loss.item<double>();
    for (const auto& r : out.routings)
      sum.experts += share * static_cast<double>(r.token_N.size(0)) / static_cast<double>(r.num_tokens * kDepth);
  }
  return sum;
}

StudyMetrics run_arm(const StudyRun& run, const moe::MoEConfig& config) {
  PairModel model(config);
  fit(model, run, kPlan, [&](int64_t step) {
    return training_loss(model.forward(pair_batch(run.seed, static_cast<uint64_t>(step * kBatch))));
  });
  const auto by_batch = scores(model, run, false), by_token = scores(model, run, true);
  return {{"text_loss", by_token.text},
          {"image_loss", by_token.image},
          {"text_loss_by_batch", by_batch.text},
          {"image_loss_by_batch", by_batch.image},
          {"image_loss_ratio", by_token.image / by_batch.image},
          {"experts_per_token", by_batch.experts},
          {"experts_by_token", by_token.experts},
          {"active", by_batch.experts * 3 * static_cast<double>(kDim * kHidden * kDepth)}};
}

StudyArm arm(const std::string& name, const std::string& what, const moe::MoEConfig& config) {
  return {.name = name, .what = what, .run = [=](const StudyRun& run) { return run_arm(run, config); }};
}

}  // namespace

Study modality_groups_study() {
  return {
      .name = "modality_groups",
      .title = "Experts of their own for each modality",
      .source = "MoMa (arXiv:2407.21770), sections 2.2 and 2.4",
      .setting =
          "Generated scenes: 9 noisy patches of a picture that are to be cleaned, then its caption word by word, "
          "in one sequence. A trunk of 2 layers, width 64; 1,200 steps of 24 pairs, tested on 384 new ones. In "
          "training experts choose their tokens, one expert a token on average, so all arms cost the same. "
          "`text_loss` (nats a word) and `image_loss` (mean square of a pixel) are with auxiliary routers that "
          "see one token at a time; `_by_batch` with the choice of training, which sees words to come.",
      .caveat = "Two layers and a language of some sixty words: the sizes of the gaps say nothing about large models.",
      .arms = {arm("dense", "one expert for all tokens: the floor of equal active size", experts(0, 0, 1)),
               arm("one pool", "4 experts for both modalities", experts(0, 0, 4)),
               arm("one each", "1 expert for text, 1 for pictures", experts(1, 1, 0)),
               arm("groups", "2 experts for text, 2 for pictures", experts(2, 2, 0))},
      .claims = {{.text = "An expert for each modality cleans pictures better than the dense network.",
                  .metric = "image_loss",
                  .arm = "one each",
                  .than = "dense"},
                 {.text = "Groups clean pictures better than one pool of as many experts.",
                  .metric = "image_loss",
                  .arm = "groups",
                  .than = "one pool"},
                 {.text = "Groups predict words better than one pool of as many experts.",
                  .metric = "text_loss",
                  .arm = "groups",
                  .than = "one pool"},
                 {.text = "Groups predict words better than the dense network.",
                  .metric = "text_loss",
                  .arm = "groups",
                  .than = "dense"},
                 {.text = "Deciding token by token costs groups at most 3 % of their loss on pictures.",
                  .metric = "image_loss_ratio",
                  .arm = "groups",
                  .factor = 1.03}}};
}

}  // namespace polyphony::pipelines
