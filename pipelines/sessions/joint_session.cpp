// SPDX-License-Identifier: Apache-2.0
// The Session over a joint model folder: requests in, pictures and captions out.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "core/base/text.h"
#include "core/check.h"
#include "modalities/image/decode.h"
#include "pipelines/data/captioned/captioned_pictures.h"
#include "pipelines/data/scenes/grammar.h"
#include "pipelines/joint/agreement.h"
#include "pipelines/joint/draw.h"
#include "pipelines/joint/folder.h"
#include "pipelines/sessions/sessions.h"
#include "pipelines/torch_errors.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

at::Tensor bytes_of(const RgbImage& image) {
  check<DataError>(image.width > 0 && image.height > 0 &&
                       static_cast<int64_t>(image.pixels.size()) == image.width * image.height * 3,
                   "[caption] a picture of ", image.width, "x", image.height, " must have 3 bytes a pixel, got ",
                   image.pixels.size());
  auto out = at::empty({image.height, image.width, 3}, at::kByte);
  std::memcpy(out.mutable_data_ptr<uint8_t>(), image.pixels.data(), image.pixels.size());
  return out;
}

class JointSession : public Session {
 public:
  JointSession(JointBundle bundle, const SessionOptions& options, const fs::path& folder)
      : bundle_(std::move(bundle)), folder_(folder), dtype_(options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat) {
    bundle_.model->to(dtype_);
    bundle_.autoencoder->use_channels_last();
    name_ = model_name(folder, folder / "model.safetensors");
  }

  std::optional<GenerateResult> generate(const GenerateRequest& request, const OnProgress& on_progress) override {
    return translate_torch_errors([&] { return draw(request, on_progress); });
  }

  std::optional<CaptionResult> caption(const CaptionRequest& request, const OnProgress& on_progress) override {
    return translate_torch_errors([&] { return describe_picture(request, on_progress); });
  }

  ModelDescription describe() const override {
    int64_t total = 0;
    for (const auto& p : bundle_.model->parameters()) total += p.numel();
    for (const auto& p : bundle_.autoencoder->parameters()) total += p.numel();
    const auto example = scenes::canonical_caption(scenes::SceneStream(7, scenes::Split::train).scene(0));
    return {.name = name_,
            .folder = folder_.string(),
            .model_type = kJointModelType,
            .parameters_total = total,
            .parameters_active = total - inactive_parameters(bundle_.config.backbone),
            .device = "cpu",
            .dtype = dtype_name(),
            .picture_width = bundle_.config.image_size,
            .picture_height = bundle_.config.image_size,
            .default_steps = bundle_.defaults.steps,
            .default_guidance = bundle_.defaults.guidance,
            .can_generate = true,
            .can_caption = true,
            .example_prompt = example};
  }

 private:
  std::optional<GenerateResult> draw(const GenerateRequest& request, const OnProgress& on_progress) {
    check_request(request);
    check<UsageError>(request.class_label.empty(), "[class] this model draws from texts, not classes: give a prompt");
    check<UsageError>(request.sampler.empty() || request.sampler == "euler",
                      "[sampler] this model knows euler only, got '", request.sampler, "'");
    check<UsageError>(!request.record_routing, "[record-routing] is there for DiT-MoE models only");
    const OneThread one_thread;
    GenerateResult out{.used = request, .model = name_, .device = "cpu", .dtype = dtype_name()};
    out.used.steps = request.steps.value_or(bundle_.defaults.steps);
    out.used.guidance = request.guidance.value_or(bundle_.defaults.guidance);
    out.used.seed = request.seed.value_or(random_seed());
    const auto ids = bundle_.tokenizer->encode(request.prompt);
    check<UsageError>(static_cast<int64_t>(ids.size()) <= bundle_.config.max_text_tokens, "[generate] prompt has ",
                      ids.size(), " tokens, this model takes at most ", bundle_.config.max_text_tokens);
    out.warnings = prompt_warnings(request.prompt);

    const auto start = Clock::now();
    const int64_t total = *out.used.steps * request.count;
    // One picture after another: its bytes then depend on nothing but its own seed.
    for (int64_t i = 0; i < request.count; ++i) {
      const uint64_t seed = *out.used.seed + static_cast<uint64_t>(i);
      const auto z = draw_latents(
          *bundle_.model, {ids}, {.steps = *out.used.steps, .guidance = *out.used.guidance, .seeds = {seed}},
          [&](int64_t done, const at::Tensor& clean) {
            if (!on_progress) return true;
            return on_progress(
                {.task = "generate", .done = i * *out.used.steps + done, .total = total, .preview = decode(clean)});
          });
      if (!z) return std::nullopt;
      out.pictures.push_back(
          {.image = decode(*z), .seed = seed, .parameters_json = parameters_json(out.used, seed, name_)});
    }
    out.seconds = seconds_since(start);
    out.seconds_per_step = out.seconds / static_cast<double>(total);
    return out;
  }

  std::optional<CaptionResult> describe_picture(const CaptionRequest& request, const OnProgress& on_progress) {
    check_request(request);
    const OneThread one_thread;
    const auto bytes = request.image ? bytes_of(*request.image) : image::load_image(request.file);
    CaptionResult out{
        .model = name_, .device = "cpu", .dtype = dtype_name(), .file = request.file, .picture = image_from(bytes)};
    const auto start = Clock::now();
    const auto pixels = pixels_from_bytes(fit_square(bytes, bundle_.config.image_size)).unsqueeze(0);
    const auto words =
        caption_pictures(*bundle_.model, pixels, request.max_tokens.value_or(bundle_.config.max_text_tokens),
                         [&](int64_t done, int64_t most) {
                           return !on_progress || on_progress({.task = "caption", .done = done, .total = most});
                         });
    if (!words) return std::nullopt;
    out.text = bundle_.tokenizer->decode(words->front());
    out.tokens = static_cast<int64_t>(words->front().size());
    out.confidence = caption_agreement(bundle_, pixels, words->front());
    out.seconds = seconds_since(start);
    return out;
  }

  std::string dtype_name() const { return dtype_ == at::kBFloat16 ? "bfloat16" : "float32"; }

  RgbImage decode(const at::Tensor& latents) const {
    const c10::InferenceMode inference;
    const auto z = bundle_.autoencoder->from_latent(latents).contiguous(at::MemoryFormat::ChannelsLast);
    return image_from(bytes_from_pixels(bundle_.autoencoder->decode(z)[0]));
  }

  std::vector<std::string> prompt_warnings(const std::string& prompt) const {
    if (trim(prompt).empty()) return {"the prompt has no words: the model draws anything"};
    std::vector<std::string> out;
    for (const auto& word : scenes::parse_caption(prompt).unknown_words)
      if (std::ranges::find(bundle_.words, word) == bundle_.words.end())
        out.push_back("the model does not know the word '" + word + "'");
    return out;
  }

  JointBundle bundle_;
  fs::path folder_;
  at::ScalarType dtype_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Session> open_joint_session(const SessionOptions& options, const fs::path& folder) {
  return std::make_unique<JointSession>(load_joint(folder), options, folder);
}

}  // namespace polyphony::pipelines
