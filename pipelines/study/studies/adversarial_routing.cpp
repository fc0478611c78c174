// SPDX-License-Identifier: Apache-2.0
// System 20: a convolutional network with one pathway an image, made robust by turns or all at once.
#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include "core/nn/linear.h"
#include "core/rng.h"
#include "moe/adversarial.h"
#include "moe/blocks/conv_channels.h"
#include "moe/router.h"
#include "pipelines/study/fit.h"
#include "pipelines/study/open_routing.h"
#include "pipelines/study/shape_pictures.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kBatch = 64, kTestPictures = 1024, kSteps = 600;
constexpr double kRadius = 0.08;  // of the attack, in units of the whole range of brightness
constexpr double kWeight = 6.0;   // of the divergence between clean and attacked answers
constexpr ShapePictureOptions kPictures{.least_contrast = 0.5, .noise = 0.05};

// Gentle in training, as in AdvMoE; ten steps on the whole model to measure.
constexpr moe::AttackOptions kTrainingAttack{.radius = kRadius, .step_size = 0.6 * kRadius, .steps = 2};
constexpr moe::AttackOptions kTestAttack{.radius = kRadius, .step_size = kRadius / 4, .steps = 10};

enum class Scheme { together, by_turns };

struct Recipe {
  int64_t experts = 2;
  int64_t width = 1;  // multiplies the channels of an expert
  int64_t steps = kSteps;
  Scheme scheme = Scheme::together;
};

class PathwayNet : public torch::nn::Module {
 public:
  explicit PathwayNet(const Recipe& recipe) : experts_(recipe.experts) {
    auto router = moe::router_defaults("pathway");
    router.model_dim = kShapePictureSide * kShapePictureSide / 4;
    router.num_experts = recipe.experts;
    router.gate_hidden = 16;
    gate_ = register_module("gate", moe::make_router(router));
    stem_ = register_module("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 12, 3).padding(1)));
    int64_t in = 12;
    for (const auto& [channels, stride] : {std::pair<int64_t, int64_t>{16, 2}, {16, 1}, {24, 2}}) {
      const auto name = std::to_string(convolutions_.size());
      const int64_t out = channels * recipe.width;
      convolutions_.push_back(
          register_module("convolution_" + name,
                          std::make_shared<moe::ConvChannels>(moe::ConvChannelsOptions{
                              .in_channels = in, .out_channels = out, .num_experts = experts_, .stride = stride})));
      norms_.push_back(register_module("norm_" + name, torch::nn::GroupNorm(torch::nn::GroupNormOptions(4, out))));
      products_ += out * in * 9 * (stride == 2 && in > 12 ? 16 : 64);
      in = out;
    }
    head_ = register_module("head", nn::Linear(in, kNumShapes));
  }

  struct Output {
    at::Tensor logits_BC;
    at::Tensor pathway_BE;  // logits of the pathways
  };
  Output forward(const at::Tensor& x_BIYX) {
    const int64_t B = x_BIYX.size(0);
    auto context = open_context((at::avg_pool2d(x_BIYX, 2) - 0.5).flatten(1), experts_, is_training());
    context.sample_T = at::arange(B);
    const auto routing = gate_->route(context);
    auto h = at::relu(stem_->forward(x_BIYX - 0.5));
    for (size_t i = 0; i < convolutions_.size(); ++i)
      h = at::relu(norms_[i]->forward(convolutions_[i]->forward(h, routing)));
    return {.logits_BC = head_->forward(h.mean({2, 3})), .pathway_BE = routing.logits_TE};
  }

  // Multiplications of the expert convolutions an image.
  int64_t products() const { return products_; }

 private:
  int64_t experts_, products_ = 0;
  std::shared_ptr<moe::Router> gate_;
  torch::nn::Conv2d stem_{nullptr};
  std::vector<std::shared_ptr<moe::ConvChannels>> convolutions_;
  std::vector<torch::nn::GroupNorm> norms_;
  nn::Linear head_{nullptr};
};

// Mean divergence of the answers to attacked pictures from those to the clean ones.
at::Tensor divergence(const at::Tensor& clean_BC, const at::Tensor& attacked_BC) {
  const auto log_clean_BC = clean_BC.log_softmax(1);
  return (log_clean_BC.exp() * (log_clean_BC - attacked_BC.log_softmax(1))).sum(1).mean();
}

// TRADES: right on clean pictures, and the same on attacked ones. In a router's turn it is its own choice that has to
// stay the same, too.
at::Tensor robust_loss(PathwayNet& model, const ShapePictures& batch, bool of_router, at::Generator& generator) {
  const auto clean = model.forward(batch.pixels_BCYX);
  const auto clean_answer = clean.logits_BC.detach(), clean_pathway = clean.pathway_BE.detach();
  const auto disturbed = moe::attacked(
      batch.pixels_BCYX,
      [&](const at::Tensor& x) {
        const auto out = model.forward(x);
        return divergence(clean_answer, out.logits_BC) + divergence(clean_pathway, out.pathway_BE);
      },
      kTrainingAttack, generator);
  const auto attacked = model.forward(disturbed);
  auto stays = divergence(clean.logits_BC, attacked.logits_BC);
  if (of_router) stays = stays + divergence(clean.pathway_BE, attacked.pathway_BE);
  return at::cross_entropy_loss(clean.logits_BC, batch.label_B) + kWeight * stays;
}

void train(PathwayNet& model, const StudyRun& run, const Recipe& recipe) {
  const bool turns = recipe.scheme == Scheme::by_turns;
  const FitPlan plan{.steps = turns ? 2 * recipe.steps : recipe.steps, .learning_rate = 3e-3};
  fit(model, run, plan, [&](int64_t step) {
    const bool of_router = turns && step % 2 == 1;
    if (turns) moe::let_learn(model, of_router ? moe::LearningPart::routers : moe::LearningPart::experts);
    // Both turns see the same pictures, and each an attack of its own.
    const auto index = static_cast<uint64_t>(turns ? step / 2 : step);
    auto generator = make_generator(derive_seed(run.seed, "attack", static_cast<uint64_t>(step)));
    return robust_loss(model, shape_pictures(run.seed, "train", index, kBatch, kPictures), of_router, generator);
  });
}

double share(const at::Tensor& yes_B) { return yes_B.to(at::kDouble).mean().item<double>(); }

StudyMetrics run_arm(const StudyRun& run, const Recipe& recipe) {
  PathwayNet model(recipe);
  train(model, run, recipe);
  const auto test = shape_pictures(run.seed, "test", 0, run.quick ? 128 : kTestPictures, kPictures);
  auto generator = make_generator(derive_seed(run.seed, "test attack"));
  const auto disturbed = moe::attacked(
      test.pixels_BCYX,
      [&](const at::Tensor& x) { return at::cross_entropy_loss(model.forward(x).logits_BC, test.label_B); },
      kTestAttack, generator);
  const c10::NoGradGuard no_grad;
  const auto clean = model.forward(test.pixels_BCYX), attacked = model.forward(disturbed);
  return {{"accuracy", share(clean.logits_BC.argmax(1) == test.label_B)},
          {"robust_accuracy", share(attacked.logits_BC.argmax(1) == test.label_B)},
          {"flipped_pathways", share(clean.pathway_BE.argmax(1) != attacked.pathway_BE.argmax(1))},
          {"active", static_cast<double>(model.products())}};
}

StudyArm arm(const std::string& name, const std::string& what, const Recipe& recipe) {
  return {.name = name, .what = what, .run = [=](const StudyRun& run) { return run_arm(run, recipe); }};
}

}  // namespace

Study adversarial_routing_study() {
  return {
      .name = "adversarial_routing",
      .title = "Routers and experts made robust in turn",
      .source = "AdvMoE (arXiv:2308.10110), section 4",
      .setting =
          "Which of six shapes does a grey picture of 16 x 16 pixels show, when an attacker may change every "
          "pixel by 8 % of the range (10 sign-gradient steps)? A network of 4 convolutions; a router picks one "
          "of 2 pathways an image. 600 batches of 64 pictures with TRADES (weight 6, 2 steps), tested on 1,024 "
          "new pictures. Training by turns costs two attacks a batch.",
      .caveat =
          "A network of some thousand weights and generated pictures: the gap between the schemes may be of the "
          "size of the spread between seeds.",
      .arms = {arm("narrow dense", "one pathway without a choice: the floor of equal active size", {.experts = 1}),
               arm("wide dense", "twice the channels: the cost that pathways save", {.experts = 1, .width = 2}),
               arm("together", "2 pathways; router and experts learn at once", {}),
               arm("together, twice the batches", "the same with the training cost of learning by turns",
                   {.steps = 2 * kSteps}),
               arm("by turns", "2 pathways; each batch teaches the experts, then the router",
                   {.scheme = Scheme::by_turns})},
      .claims = {{.text = "Under attack, learning by turns is more often right than learning all at once from as many "
                          "batches.",
                  .metric = "robust_accuracy",
                  .arm = "by turns",
                  .than = "together",
                  .rule = ClaimRule::higher},
                 {.text = "It is so, too, against learning all at once at the same cost of training.",
                  .metric = "robust_accuracy",
                  .arm = "by turns",
                  .than = "together, twice the batches",
                  .rule = ClaimRule::higher},
                 {.text = "Under attack, two pathways that learned by turns are more often right than one of equal "
                          "active size.",
                  .metric = "robust_accuracy",
                  .arm = "by turns",
                  .than = "narrow dense",
                  .rule = ClaimRule::higher},
                 {.text = "The attack moves fewer pictures to another pathway after learning by turns.",
                  .metric = "flipped_pathways",
                  .arm = "by turns",
                  .than = "together"}}};
}

}  // namespace polyphony::pipelines
