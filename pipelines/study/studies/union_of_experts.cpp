// SPDX-License-Identifier: Apache-2.0
// System 1: a dense patch transformer cut into experts, of which each patch or each picture uses half.
#include <ATen/ATen.h>

#include "core/nn/linear.h"
#include "core/nn/rms_norm.h"
#include "modalities/image/patch_encoder.h"
#include "moe/blocks/attention_experts.h"
#include "moe/moe_layer.h"
#include "moe/transforms/equivalent_split.h"
#include "pipelines/study/fit.h"
#include "pipelines/study/open_routing.h"
#include "pipelines/study/shape_pictures.h"
#include "pipelines/study/studies/list.h"

namespace polyphony::pipelines {
namespace {

constexpr int64_t kPatch = 4, kTokens = (kShapePictureSide / kPatch) * (kShapePictureSide / kPatch);
constexpr int64_t kDim = 64, kDepth = 2, kHeads = 4, kHeadDim = 16, kHidden = 128;
constexpr int64_t kBatch = 32, kTestPictures = 4096;
constexpr FitPlan kPlan{.steps = 1200, .learning_rate = 2e-3};

// The network's attention and MLPs, each cut into `parts` experts. A dense network is one part.
struct Cut {
  int64_t parts = 1;
  int64_t heads = kHeads;    // of all parts together
  int64_t hidden = kHidden;  // likewise
  moe::RouterConfig router = {};
};

Cut dense(int64_t divisor) {
  auto router = moe::router_defaults("uniform");
  router.experts_per_token = 1;
  return {.heads = kHeads / divisor, .hidden = kHidden / divisor, .router = router};
}

Cut cut_in_four(const std::string& router_name, int64_t experts_per_token) {
  auto router = moe::router_defaults(router_name);
  router.experts_per_token = experts_per_token;
  return {.parts = 4, .router = router};
}

Cut equivalent_cut() {
  auto cut = cut_in_four("patch_select", 4);
  cut.router.combine = "none";
  return cut;
}

class UnionBlock : public torch::nn::Module {
 public:
  explicit UnionBlock(Cut cut)
      : products_per_row_((4 * cut.heads * kHeadDim + 3 * cut.hidden) * kDim / cut.parts), parts_(cut.parts) {
    cut.router.model_dim = kDim;
    cut.router.num_experts = cut.parts;
    attention_norm_ = register_module("attention_norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = kDim}));
    attention_gate_ = register_module("attention_gate", moe::make_router(cut.router));
    attention_ = register_module("attention", std::make_shared<moe::AttentionExperts>(
                                                  moe::AttentionExpertsOptions{.dim = kDim,
                                                                               .num_experts = cut.parts,
                                                                               .num_heads = cut.heads / cut.parts,
                                                                               .head_dim = kHeadDim,
                                                                               .selected_keys = true,
                                                                               .rotary = false}));
    mlp_norm_ = register_module("mlp_norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = kDim}));
    mlp_ = register_module("mlp", std::make_shared<moe::MoELayer>(moe::MoEConfig{
                                      .router = cut.router, .experts = {.expert_hidden = cut.hidden / cut.parts}}));
  }

  at::Tensor forward(const at::Tensor& x_TD, const nn::AttentionLayout& layout, const at::Tensor& sample_T) {
    const auto context_of = [&](const at::Tensor& h_TD) {
      auto context = open_context(h_TD, parts_, is_training());
      context.sample_T = sample_T;
      return context;
    };
    const auto a_TD = attention_norm_->forward(x_TD);
    const auto routing = attention_gate_->route(context_of(a_TD));
    const auto x1_TD = x_TD + attention_->forward(a_TD, layout, {}, routing);
    auto mlp = mlp_->forward(context_of(mlp_norm_->forward(x1_TD)));
    // Attention has as many products a row as four square matrices, an MLP as three.
    rows_per_token_ = static_cast<double>(routing.token_N.size(0) + mlp.routing.token_N.size(0)) /
                      (2.0 * static_cast<double>(x_TD.size(0)));
    return x1_TD + mlp.y_TD;
  }

  // Weights that a token is multiplied with, of the last forward pass.
  double products_per_token() const { return rows_per_token_ * static_cast<double>(products_per_row_); }

 private:
  int64_t products_per_row_, parts_;
  double rows_per_token_ = 0;
  std::shared_ptr<nn::RmsNorm> attention_norm_, mlp_norm_;
  std::shared_ptr<moe::Router> attention_gate_;
  std::shared_ptr<moe::AttentionExperts> attention_;
  std::shared_ptr<moe::MoELayer> mlp_;
};

class UnionNet : public torch::nn::Module {
 public:
  explicit UnionNet(const Cut& cut) {
    patch_in_ = register_module("patch_in", nn::Linear(kPatch * kPatch, kDim));
    place_SD_ = register_parameter("place", at::randn({kTokens, kDim}) * 0.1);
    for (int64_t i = 0; i < kDepth; ++i)
      blocks_.push_back(register_module("blocks_" + std::to_string(i), std::make_shared<UnionBlock>(cut)));
    norm_ = register_module("norm", std::make_shared<nn::RmsNorm>(nn::RmsNormOptions{.dim = kDim}));
    head_ = register_module("head", nn::Linear(kDim, kNumShapes));
  }

  // Pictures (B, 1, 16, 16) -> logits (B, 6).
  at::Tensor forward(const at::Tensor& pixels_BCYX) {
    const int64_t B = pixels_BCYX.size(0), T = B * kTokens;
    TokenSequence fields{
        .tokens_TD = (patch_in_->forward(image::patchify(pixels_BCYX - 0.5, kPatch)) + place_SD_).reshape({T, kDim}),
        .modality_T = at::zeros({T}, at::kByte),
        .position_TA = at::zeros({T, kPositionAxes}),
        .span_T = at::zeros({T}, at::kLong),
        .token_id_T = at::zeros({T}, at::kLong)};
    for (int64_t b = 1; b <= B; ++b) fields.sample_offsets.push_back(b * kTokens);
    const auto layout = nn::make_attention_layout(fields);
    const auto sample_T = sample_of_token(fields);
    auto x_TD = fields.tokens_TD;
    for (const auto& block : blocks_) x_TD = block->forward(x_TD, layout, sample_T);
    return head_->forward(norm_->forward(x_TD.reshape({B, kTokens, kDim}).mean(1)));
  }

  double products_per_token() const {
    double sum = 0;
    for (const auto& block : blocks_) sum += block->products_per_token();
    return sum;
  }

 private:
  nn::Linear patch_in_{nullptr}, head_{nullptr};
  at::Tensor place_SD_;
  std::vector<std::shared_ptr<UnionBlock>> blocks_;
  std::shared_ptr<nn::RmsNorm> norm_;
};

// Gives the four parts of `into` the weights of the dense network.
void split_into(const UnionNet& from, UnionNet& into) {
  const c10::NoGradGuard no_grad;
  const auto source = from.named_parameters();
  auto target = into.named_parameters();
  for (auto& item : target)
    if (const auto* same = source.find(item.key()); same && same->sizes() == item.value().sizes())
      item.value().copy_(*same);
  for (int64_t i = 0; i < kDepth; ++i) {
    const std::string block = "blocks_" + std::to_string(i) + ".";
    const auto whole = [&](const char* name) { return source[block + name][0]; };
    const auto mlp = moe::split_mlp({.w13_2FD = whole("mlp.experts.w13"), .w2_DF = whole("mlp.experts.w2")}, 4);
    target[block + "mlp.experts.w13"].copy_(mlp.w13_E2FD);
    target[block + "mlp.experts.w2"].copy_(mlp.w2_EDF);
    const auto attention =
        moe::split_attention({.qkv_QD = at::cat({whole("attention.q"), whole("attention.k"), whole("attention.v")}),
                              .out_DP = whole("attention.out")},
                             kHeads, 4);
    target[block + "attention.q"].copy_(attention.q_EPD);
    target[block + "attention.k"].copy_(attention.k_EPD);
    target[block + "attention.v"].copy_(attention.v_EPD);
    target[block + "attention.out"].copy_(attention.out_EDP);
  }
}

StudyMetrics run_arm(const StudyRun& run, const Cut& cut) {
  UnionNet model(cut);
  fit(model, run, kPlan, [&](int64_t step) {
    const auto batch = shape_pictures(run.seed, "train", static_cast<uint64_t>(step), kBatch);
    return at::cross_entropy_loss(model.forward(batch.pixels_BCYX), batch.label_B);
  });
  const c10::NoGradGuard no_grad;
  const auto test = shape_pictures(run.seed, "test", 0, run.quick ? 256 : kTestPictures);
  const auto logits_BC = model.forward(test.pixels_BCYX);
  StudyMetrics metrics = {{"loss", at::cross_entropy_loss(logits_BC, test.label_B).item<double>()},
                          {"accuracy", (logits_BC.argmax(1) == test.label_B).to(at::kDouble).mean().item<double>()},
                          {"active", model.products_per_token()}};
  if (cut.parts == 1 && cut.heads == kHeads) {
    UnionNet parts(equivalent_cut());
    split_into(model, parts);
    parts.eval();
    const auto distance = (parts.forward(test.pixels_BCYX) - logits_BC).abs().max() / logits_BC.abs().max();
    metrics["split_difference"] = distance.item<double>();
  }
  return metrics;
}

StudyArm arm(const std::string& name, const std::string& what, const Cut& cut) {
  return {.name = name, .what = what, .run = [=](const StudyRun& run) { return run_arm(run, cut); }};
}

}  // namespace

Study union_of_experts_study() {
  return {.name = "union_of_experts",
          .title = "A dense network as a union of experts",
          .source = "Union-of-Experts (arXiv:2503.02495)",
          .setting =
              "Which of six shapes does a noisy grey picture of 16 x 16 pixels show? A transformer of 2 layers, "
              "width 64, over 16 patches; 1,200 steps of 32 pictures, tested on 4,096 new ones. The routed arms "
              "use half of the attention heads and of the MLP, so they are equal in active size to the network "
              "of half the width.",
          .caveat = "The task is small and nearly solved by all arms; it cannot show the paper's gains on long inputs.",
          .arms = {arm("dense", "4 heads and a hidden width of 128 for every patch", dense(1)),
                   arm("half dense", "2 heads and a hidden width of 64: the floor of equal active size", dense(2)),
                   arm("patch-wise", "cut into 4 parts; a patch takes the 2 best, a part keeps its strongest patches",
                       cut_in_four("patch_select", 2)),
                   arm("sample-wise", "cut into 4 parts; a picture takes the 2 best", cut_in_four("sample_select", 2))},
          .claims = {{.text = "A trained dense network cut into four parts that all are used gives the same logits "
                              "(largest difference over largest logit below 1e-5).",
                      .metric = "split_difference",
                      .arm = "dense",
                      .factor = 1e-5},
                     {.text = "Patch-wise selection is more often right than the dense network of equal active size.",
                      .metric = "accuracy",
                      .arm = "patch-wise",
                      .than = "half dense",
                      .rule = ClaimRule::higher},
                     {.text = "Sample-wise selection is more often right than the dense network of equal active size.",
                      .metric = "accuracy",
                      .arm = "sample-wise",
                      .than = "half dense",
                      .rule = ClaimRule::higher},
                     {.text = "Patch-wise selection keeps 99 % of the accuracy of the dense network with half of its "
                              "products.",
                      .metric = "accuracy",
                      .arm = "patch-wise",
                      .than = "dense",
                      .rule = ClaimRule::higher,
                      .factor = 0.99}}};
}

}  // namespace polyphony::pipelines
