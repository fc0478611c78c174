// SPDX-License-Identifier: Apache-2.0
// The Session over a DiT-MoE folder: classes in, pictures, latents and routings out.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/base/text.h"
#include "core/check.h"
#include "core/formats/safetensors_index.h"
#include "pipelines/dit_moe/pipeline.h"
#include "pipelines/dit_moe/routing_record.h"
#include "pipelines/dit_moe/sampler.h"
#include "pipelines/sessions/sessions.h"
#include "pipelines/torch_errors.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr double kDefaultGuidance = 4.0;
constexpr uint64_t kMaxRecordBytes = uint64_t{2} << 30;
constexpr int64_t kCheapPreview = 128;  // pixels a side up to which each step is decoded for a look at it

at::ScalarType dtype_of(const SessionOptions& options) {
  return options.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

// Where the transformer's weights begin: what names a model.
fs::path weights_file(const fs::path& folder) {
  return formats::find_weights(fs::exists(folder / "model_index.json") ? folder / "transformer" : folder);
}

class DitMoeSession : public Session {
 public:
  DitMoeSession(const SessionOptions& options, const fs::path& folder)
      : pipeline_(load_dit_moe_pipeline(folder, dtype_of(options))),
        folder_(folder),
        dtype_(dtype_of(options)),
        threads_(at::get_num_threads()),
        name_(model_name(folder, weights_file(folder))) {
    if (pipeline_.autoencoder) pipeline_.autoencoder->use_channels_last();
    if (dtype_ == at::kBFloat16 && pipeline_.model->config().published_layer()) pipeline_.model->pack();
  }

  std::optional<GenerateResult> generate(const GenerateRequest& request, const OnProgress& on_progress) override {
    return translate_torch_errors([&] { return draw(request, on_progress); });
  }

  std::optional<CaptionResult> caption(const CaptionRequest& request, const OnProgress&) override {
    check_request(request);
    fail<UsageError>("[caption] the model ", name_, " draws pictures and cannot caption them");
  }

  ModelDescription describe() const override {
    const auto parameters = count_parameters(pipeline_.model->config());
    int64_t decoder = 0;
    if (pipeline_.autoencoder)
      for (const auto& p : pipeline_.autoencoder->parameters()) decoder += p.numel();
    const auto size = pipeline_.picture_size();
    return {.name = name_,
            .folder = folder_.string(),
            .model_type = kDitMoeModelType,
            .parameters_total = parameters.total + decoder,
            .parameters_active = parameters.active + decoder,
            .device = "cpu",
            .dtype = dtype_name(),
            .picture_width = size,
            .picture_height = size,
            .default_steps = default_steps(choose_sampler(pipeline_.mode, "")),
            .default_guidance = default_guidance(),
            .can_generate = true,
            .num_classes = pipeline_.model->config().num_classes,
            .classes = pipeline_.labels};
  }

 private:
  // Everything that a request leaves open is filled in; throws UsageError for what this model cannot do.
  GenerateRequest complete(const GenerateRequest& request) const {
    check_request(request);
    check<UsageError>(!request.class_label.empty(),
                      "[prompt] this model draws classes, not texts: give a class from 0 to ",
                      pipeline_.model->config().num_classes - 1);
    auto used = request;
    used.class_label = std::to_string(find_class(pipeline_, request.class_label));
    const auto sampler = choose_sampler(pipeline_.mode, request.sampler);
    used.sampler = sampler_name(sampler);
    used.steps = request.steps.value_or(default_steps(sampler));
    used.guidance = request.guidance.value_or(default_guidance());
    used.seed = request.seed.value_or(random_seed());
    check<UsageError>(!request.every_preview || pipeline_.draws_pictures(),
                      "[previews] this model has no decoder and gives latents: there is nothing to look at");
    const auto& c = pipeline_.model->config();
    const double choices =
        12.0 * static_cast<double>(*used.steps * used.count * c.depth * c.grid() * c.grid() * c.num_experts_per_tok);
    check<UsageError>(!request.record_routing || choices < kMaxRecordBytes,
                      "[record-routing] expected a recording of less than ", human_bytes(kMaxRecordBytes), ", got ",
                      human_bytes(static_cast<uint64_t>(choices)), ": draw fewer pictures");
    return used;
  }

  std::optional<GenerateResult> draw(const GenerateRequest& request, const OnProgress& on_progress) {
    const c10::InferenceMode inference;
    // What LibTorch multiplies in float32 would depend on the number of threads; packed weights do not.
    std::optional<OneThread> one_thread;
    if (!packed()) one_thread.emplace();
    GenerateResult out{.used = complete(request),
                       .model = name_,
                       .device = "cpu",
                       .dtype = dtype_name(),
                       .warnings = pipeline_.warnings};
    const auto start = Clock::now();
    std::vector<at::Tensor> latents;
    std::vector<RoutingRecord> records;
    // One picture after another: its bytes then depend on nothing but its own seed.
    for (int64_t i = 0; i < request.count; ++i) {
      const auto sampled = sample(out.used, i, records, on_progress);
      if (!sampled) return std::nullopt;
      latents.push_back(*sampled);
      if (pipeline_.draws_pictures()) out.pictures.push_back(picture(out.used, i, *sampled));
    }
    const auto all = at::cat(latents).contiguous();
    out.latents = {.shape = all.sizes().vec(),
                   .values = {all.const_data_ptr<float>(), all.const_data_ptr<float>() + all.numel()}};
    if (request.record_routing) out.routing = join_images(records);
    out.seconds = seconds_since(start);
    out.seconds_per_step = out.seconds / static_cast<double>(*out.used.steps * request.count);
    return out;
  }

  std::optional<at::Tensor> sample(const GenerateRequest& used, int64_t i, std::vector<RoutingRecord>& records,
                                   const OnProgress& on_progress) {
    const auto label = std::stoll(used.class_label);
    // Packed, both halves are one batch. Otherwise two passes: a batch would round differently from the published
    // sampler, and they give the same bits whether they run one after the other or side by side.
    DitMoeSampling sampling{.sampler = dit_moe_sampler(used.sampler),
                            .steps = *used.steps,
                            .guidance = {.y_N = at::full({1}, static_cast<int64_t>(label), at::kLong),
                                         .scale = *used.guidance,
                                         .batched = packed(),
                                         .side_by_side = !packed() && threads_ > 1},
                            .seed = *used.seed + static_cast<uint64_t>(i)};
    if (used.record_routing) {
      records.emplace_back();
      sampling.guidance.on_routing = [&record = records.back()](double t, const std::vector<moe::Routing>& routings) {
        add_step(record, t, routings, 1);
      };
    }
    const bool look = pipeline_.draws_pictures() && (used.every_preview || pipeline_.picture_size() <= kCheapPreview);
    const auto on_step = [&](const latent::SampleStep& step) {
      if (!on_progress) return true;
      Progress progress{.task = "generate", .done = i * *used.steps + step.step, .total = used.count * *used.steps};
      if (look) progress.preview = decode(step.x0);
      return on_progress(progress);
    };
    const auto result = sample_dit_moe(pipeline_.model, sampling, on_step);
    if (!result.finished) return std::nullopt;
    check<NonFiniteError>(
        at::isfinite(result.x).all().item<bool>(),
        "[generate] the model gave values that are NaN or infinite: `polyphony inspect` checks its weights");
    return result.x.to(at::kFloat);
  }

  Picture picture(const GenerateRequest& used, int64_t i, const at::Tensor& latents) const {
    const uint64_t seed = *used.seed + static_cast<uint64_t>(i);
    const auto label = pipeline_.labels.find(std::stoll(used.class_label));
    return {
        .image = decode(latents),
        .seed = seed,
        .parameters_json = parameters_json(used, seed, name_, label == pipeline_.labels.end() ? "" : label->second)};
  }

  RgbImage decode(const at::Tensor& latents) const {
    return image_from(bytes_from_pixels(pixels_of(pipeline_, latents)[0]));
  }

  bool packed() const { return pipeline_.model->packed(); }
  double default_guidance() const { return pipeline_.model->config().has_null_class() ? kDefaultGuidance : 1.0; }
  std::string dtype_name() const { return dtype_ == at::kBFloat16 ? "bfloat16" : "float32"; }

  DitMoePipeline pipeline_;
  fs::path folder_;
  at::ScalarType dtype_;
  int threads_;  // that a request may use; in float32 each pass of the model runs on one
  std::string name_;
};

}  // namespace

std::unique_ptr<Session> open_dit_moe_session(const SessionOptions& options, const fs::path& folder) {
  return std::make_unique<DitMoeSession>(options, folder);
}

}  // namespace polyphony::pipelines
