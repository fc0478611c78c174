// SPDX-License-Identifier: Apache-2.0
#include "pipelines/eval/eval.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "core/base/files.h"
#include "core/check.h"
#include "core/rng.h"
#include "modalities/image/encode.h"
#include "moe/expert_stats.h"
#include "pipelines/data/scenes/metrics.h"
#include "pipelines/eval/expert_load.h"
#include "pipelines/joint/draw.h"
#include "pipelines/joint/folder.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int64_t kBatch = 64;  // scenes at once: memory stays small and progress moves

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

void write_experts(const fs::path& folder, const std::vector<moe::ExpertCounts>& counts, const moe::MoEConfig& config) {
  ExpertLoad load;
  for (const auto& group : moe::resolved(config).groups)
    for (int64_t e = 0; e < group.num_experts; ++e) load.experts.push_back(join(group.name, " ", e));
  for (const auto& layer : counts) {
    auto stats = moe::expert_stats(layer);
    load.experts.resize(stats.load_E.size(), "expert");
    load.layers.push_back({.modalities = std::move(stats.modalities),
                           .tokens_M = std::move(stats.tokens_by_modality),
                           .share_ME = std::move(stats.load_by_modality),
                           .router_entropy = stats.router_entropy});
  }
  fs::create_directories(folder);
  write_file_atomic(folder / "expert_load.json", to_json(load));
  write_file_atomic(folder / "expert_load.svg", expert_load_svg(load));
}

void write_sheet(const fs::path& folder, const at::Tensor& drawn_BHWC, const std::vector<std::string>& prompts) {
  fs::create_directories(folder);
  write_file_atomic(folder / "sheet.png", image::encode_png(contact_sheet(drawn_BHWC, 8)));
  std::string text;
  for (const auto& prompt : prompts) text += prompt + "\n";
  write_file_atomic(folder / "prompts.txt", text);
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
  std::vector<at::Tensor> drawn;
  std::vector<std::string> prompts;
  std::vector<moe::ExpertCounts> experts;
  const auto start = Clock::now();
  for (int64_t first = 0; first < options.count; first += kBatch) {
    const int64_t n = std::min(kBatch, options.count - first);
    const auto batch = scene_batch(stream, static_cast<uint64_t>(first), n);
    std::vector<std::vector<int64_t>> ids;
    DrawOptions draw{.steps = report.steps, .guidance = report.guidance};
    const auto record = [&](const JointOutput& out) {
      moe::add_routings(experts, out.routings, out.fields.modality_T);
    };
    if (!options.experts.empty()) draw.on_forward = record;
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(bundle.tokenizer->encode(batch.captions[i]));
      draw.seeds.push_back(derive_seed(options.seed, "eval", static_cast<uint64_t>(first + i)));
    }
    const auto go_on = [&](const char* task) {
      return !on_progress || on_progress({.task = task, .done = first, .total = options.count});
    };
    const auto draw_start = Clock::now();
    const auto z =
        draw_latents(*bundle.model, ids, draw, [&](int64_t, const at::Tensor&) { return go_on("generate"); });
    if (!z) return std::nullopt;
    const c10::InferenceMode inference;
    const auto pictures = bytes_from_pixels(
        bundle.autoencoder->decode(bundle.autoencoder->from_latent(*z).contiguous(at::MemoryFormat::ChannelsLast)));
    report.seconds_generate += seconds_since(draw_start);
    const auto caption_start = Clock::now();
    const auto words = caption_pictures(*bundle.model, batch.pixels_BCHW, bundle.config.max_text_tokens,
                                        [&](int64_t, int64_t) { return go_on("caption"); });
    if (!words) return std::nullopt;
    report.seconds_caption += seconds_since(caption_start);
    // One more pass over the finished captions: while they were written, their first words were seen many times.
    if (!options.experts.empty())
      record(bundle.model->forward({.texts = {.caption = words->ids}, .pixels_NCHW = batch.pixels_BCHW}));
    for (int64_t i = 0; i < n; ++i) {
      const auto& truth = batch.scenes[i];
      counts.caption.add(scenes::caption_exact(bundle.tokenizer->decode(words->ids[i]), truth));
      const auto picture = pictures[i].contiguous();
      const auto found =
          scenes::detect_scene({picture.const_data_ptr<uint8_t>(), static_cast<size_t>(picture.numel())});
      const auto verdict = scenes::compare(found, truth);
      counts.picture.add(verdict.objects_right);
      counts.sizes.add(verdict.objects_right && verdict.size_right);
      counts.background.add(verdict.background_right);
    }
    if (!options.samples.empty() && static_cast<int64_t>(prompts.size()) < kBatch) {
      drawn.push_back(pictures);
      prompts.insert(prompts.end(), batch.captions.begin(), batch.captions.end());
    }
  }
  report.caption_exact = counts.caption.rate();
  report.picture_right = counts.picture.rate();
  report.picture_right_sizes = counts.sizes.rate();
  report.background_right = counts.background.rate();
  report.notes = {interval_note("caption_exact", counts.caption), interval_note("picture_right", counts.picture)};
  report.seconds = seconds_since(start);
  if (!options.samples.empty()) write_sheet(options.samples, at::cat(drawn), prompts);
  if (!options.experts.empty()) write_experts(options.experts, experts, bundle.config.backbone.moe);
  return report;
}

}  // namespace polyphony::pipelines
