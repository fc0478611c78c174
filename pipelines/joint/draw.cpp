// SPDX-License-Identifier: Apache-2.0
#include "pipelines/joint/draw.h"

#include <ATen/ATen.h>

#include "core/check.h"
#include "core/rng.h"

namespace polyphony::pipelines {
namespace {

// Guided prediction of the clean latents: both passes in one batch, conditional half first.
at::Tensor predict_clean(JointModel& model, const std::vector<std::vector<int64_t>>& prompts, const at::Tensor& x_BCHW,
                         double t, const DrawOptions& options) {
  const bool guided = options.guidance != 1.0;
  JointInput input{.texts = {.draw = prompts}, .noisy_BCHW = guided ? at::cat({x_BCHW, x_BCHW}) : x_BCHW};
  if (guided) input.texts.draw.resize(2 * prompts.size());
  input.t_B = at::full({input.noisy_BCHW.size(0)}, t, at::kFloat);
  const auto out = model.forward(input);
  if (options.on_forward) options.on_forward(out);
  if (!guided) return out.clean_BCHW;
  const auto halves = out.clean_BCHW.chunk(2);
  return halves[1] + options.guidance * (halves[0] - halves[1]);
}

}  // namespace

std::optional<at::Tensor> draw_latents(JointModel& model, const std::vector<std::vector<int64_t>>& prompts,
                                       const DrawOptions& options, const OnDrawStep& on_step) {
  const c10::InferenceMode inference;
  const auto& c = model.config();
  check<ShapeError>(options.seeds.size() == prompts.size(), "[draw] expected one seed a prompt, got ",
                    options.seeds.size(), " seeds and ", prompts.size(), " prompts");
  check<ShapeError>(options.steps >= 1, "[draw] steps must be at least 1, got ", options.steps);
  std::vector<at::Tensor> noise;
  for (const uint64_t seed : options.seeds) {
    auto generator = make_generator(seed);
    noise.push_back(at::randn({c.latent_channels, c.latent_size, c.latent_size}, generator));
  }
  auto x = at::stack(noise);
  for (int64_t i = 0; i < options.steps; ++i) {
    const double t = 1.0 - static_cast<double>(i) / static_cast<double>(options.steps);
    const double next = 1.0 - static_cast<double>(i + 1) / static_cast<double>(options.steps);
    const auto clean = predict_clean(model, prompts, x, t, options);
    x = i + 1 == options.steps ? clean : clean + (next / t) * (x - clean);  // Euler on v = (x - clean) / t
    if (on_step && !on_step(i + 1, clean)) return std::nullopt;
  }
  return x;
}

std::optional<std::vector<std::vector<int64_t>>> caption_pictures(
    JointModel& model, const at::Tensor& pixels_NCHW, int64_t max_tokens,
    const std::function<bool(int64_t, int64_t)>& on_token) {
  const c10::InferenceMode inference;
  const int64_t N = pixels_NCHW.size(0);
  max_tokens = std::min(max_tokens, model.config().max_text_tokens);
  std::vector<std::vector<int64_t>> out(N);
  std::vector<int64_t> open(N);  // captions that have no end mark yet
  for (int64_t n = 0; n < N; ++n) open[n] = n;
  for (int64_t done = 0; done < max_tokens && !open.empty(); ++done) {
    JointInput input{.texts = {.caption_complete = false},
                     .pixels_NCHW = pixels_NCHW.index_select(0, at::tensor(open, at::kLong))};
    for (const int64_t n : open) input.texts.caption.push_back(out[n]);
    const auto id = model.forward(input).logits_PV.argmax(-1);
    std::vector<int64_t> still_open;
    for (size_t i = 0; i < open.size(); ++i) {
      const int64_t n = open[i], word = id[i].item<int64_t>();
      if (word == model.config().end_id) continue;
      out[n].push_back(word);
      still_open.push_back(n);
    }
    open = std::move(still_open);
    if (on_token && !on_token(done + 1, max_tokens)) return std::nullopt;
  }
  return out;
}

}  // namespace polyphony::pipelines
