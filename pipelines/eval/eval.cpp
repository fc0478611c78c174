// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/eval.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "core/check.h"
#include "core/rng.h"
#include "pipelines/data/scenes/explain.h"
#include "pipelines/data/scenes/metrics.h"
#include "pipelines/eval/eval_files.h"
#include "pipelines/eval/expert_record.h"
#include "pipelines/joint/draw.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int64_t kBatch = kMaxSamples;  // scenes at once: memory stays small and progress moves

struct Counts {
  scenes::Share caption, picture, sizes, background;
};

// "caption_exact 0.53, 95% interval 0.41 to 0.65"
std::string interval_note(const char* name, const scenes::Share& share) {
  const auto interval = scenes::wilson_interval(share);
  char text[128];
  std::snprintf(text, sizeof text, "%s %.3f, 95%% interval %.3f to %.3f", name, share.rate(), interval.low,
                interval.high);
  return text;
}

// Pictures u8 (B, H, W, 3) of scaled latents.
at::Tensor decoded(latent::AutoencoderKL& autoencoder, const at::Tensor& latents_BCHW) {
  return bytes_from_pixels(
      autoencoder.decode(autoencoder.from_latent(latents_BCHW).contiguous(at::MemoryFormat::ChannelsLast)));
}

scenes::Detection judged(const at::Tensor& picture_HWC) {
  const auto bytes = picture_HWC.contiguous();
  return scenes::detect_scene({bytes.const_data_ptr<uint8_t>(), static_cast<size_t>(bytes.numel())});
}

}  // namespace

std::optional<EvalReport> run_eval(const EvalOptions& options, const OnProgress& on_progress) {
  check<UsageError>(options.count >= 1 && options.count <= 100000, "[eval] count must be in [1, 100000], got ",
                    options.count);
  if (options.session.threads > 0) at::set_num_threads(static_cast<int>(options.session.threads));
  const auto folder = options.session.model_folder.empty() ? default_model_folder() : options.session.model_folder;
  auto bundle = load_joint(folder);
  bundle.autoencoder->use_channels_last();
  if (options.session.dtype == "bfloat16") bundle.model->to(at::kBFloat16);

  EvalReport report{.count = options.count,
                    .seed = options.seed,
                    .model = fs::path(folder).filename().string(),
                    .device = "cpu",
                    .dtype = options.session.dtype == "bfloat16" ? "bfloat16" : "float32",
                    .steps = options.steps.value_or(bundle.defaults.steps),
                    .guidance = options.guidance.value_or(bundle.defaults.guidance)};
  const scenes::SceneStream stream(options.seed, scenes::Split::held_out);
  Counts counts;
  EvalSamples samples;
  std::vector<at::Tensor> drawn;
  ExpertRecord experts(bundle.config, report.steps);
  const auto start = Clock::now();
  for (int64_t first = 0; first < options.count; first += kBatch) {
    const int64_t n = std::min(kBatch, options.count - first);
    const auto batch = scene_batch(stream, static_cast<uint64_t>(first), n);
    std::vector<std::vector<int64_t>> ids;
    DrawOptions draw{.steps = report.steps, .guidance = report.guidance};
    int64_t step = 0;
    if (!options.experts.empty()) draw.on_forward = [&](const JointOutput& out) { experts.add(out, step); };
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(bundle.tokenizer->encode(batch.captions[i]));
      draw.seeds.push_back(derive_seed(options.seed, "eval", static_cast<uint64_t>(first + i)));
    }
    const auto go_on = [&](const char* task) {
      return !on_progress || on_progress({.task = task, .done = first, .total = options.count});
    };
    const auto draw_start = Clock::now();
    const auto z = draw_latents(*bundle.model, ids, draw, [&](int64_t done, const at::Tensor&) {
      step = done;
      return go_on("generate");
    });
    if (!z) return std::nullopt;
    const c10::InferenceMode inference;
    const auto pictures = decoded(*bundle.autoencoder, *z);
    report.seconds_generate += seconds_since(draw_start);
    const auto caption_start = Clock::now();
    const auto words = caption_pictures(*bundle.model, batch.pixels_BCHW, bundle.config.max_text_tokens,
                                        [&](int64_t, int64_t) { return go_on("caption"); });
    if (!words) return std::nullopt;
    report.seconds_caption += seconds_since(caption_start);
    // One more pass over the finished captions: while they were written, their first words were seen many times.
    if (!options.experts.empty())
      experts.add(bundle.model->forward({.texts = {.caption = *words}, .pixels_NCHW = batch.pixels_BCHW}), {});
    const auto truth_BHWC = bytes_from_pixels(batch.pixels_BCHW);
    at::Tensor restored;
    if (!options.samples.empty())
      restored = decoded(*bundle.autoencoder,
                         bundle.autoencoder->to_latent(bundle.autoencoder->encode(batch.pixels_BCHW).mean));
    for (int64_t i = 0; i < n; ++i) {
      const auto& truth = batch.scenes[i];
      const auto caption = scenes::compare(scenes::parse_caption(bundle.tokenizer->decode((*words)[i])), truth);
      const auto found = judged(pictures[i]);
      const auto verdict = scenes::compare(found, truth);
      counts.caption.add(caption.exact);
      counts.picture.add(verdict.objects_right);
      counts.sizes.add(verdict.objects_right && verdict.size_right);
      counts.background.add(verdict.background_right);
      if (options.samples.empty()) continue;
      scenes::add(samples.pictures, verdict, truth);
      scenes::add(samples.captions, caption, truth);
      scenes::add(samples.autoencoder, scenes::compare(judged(restored[i]), truth), truth);
      if (!verdict.objects_right && std::ssize(samples.failures) < kMaxFailures)
        samples.failures.push_back({.index = first + i,
                                    .prompt = batch.captions[i],
                                    .why = scenes::differences(found, truth),
                                    .drawn_HWC = pictures[i],
                                    .truth_HWC = truth_BHWC[i]});
    }
    if (!options.samples.empty() && std::ssize(samples.prompts) < kMaxSamples) {
      drawn.push_back(pictures);
      samples.prompts.insert(samples.prompts.end(), batch.captions.begin(), batch.captions.end());
    }
  }
  report.caption_exact = counts.caption.rate();
  report.picture_right = counts.picture.rate();
  report.picture_right_sizes = counts.sizes.rate();
  report.background_right = counts.background.rate();
  report.notes = {interval_note("caption_exact", counts.caption), interval_note("picture_right", counts.picture)};
  report.seconds = seconds_since(start);
  if (!options.samples.empty()) {
    samples.drawn_BHWC = at::cat(drawn);
    write_eval_samples(samples, options.samples);
    report.notes.push_back(interval_note("the autoencoder alone keeps pictures right", samples.autoencoder.objects));
  }
  if (!options.experts.empty()) experts.write(options.experts);
  return report;
}

}  // namespace polyphony::pipelines
