// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/picture_mix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "core/check.h"
#include "pipelines/data/captioned/captioned_pictures.h"
#include "pipelines/data/scenes/grammar.h"
#include "pipelines/train/scene_batch.h"

namespace polyphony::pipelines {

PictureMix load_picture_mix(const std::filesystem::path& folder, const JointBundle& bundle) {
  const c10::NoGradGuard no_grad;
  const auto& tokenizer = *bundle.tokenizer;
  PictureMix mix;
  std::vector<at::Tensor> pixels, latents;
  std::set<std::string> words(bundle.words.begin(), bundle.words.end());
  for (const auto& [file, caption] : list_captioned_pictures(folder)) {
    auto ids = tokenizer.encode(caption);
    check<DataError>(std::ranges::find(ids, tokenizer.unk_id()) == ids.end(), "[", file.string(), "] the caption '",
                     caption, "' has letters that the model's tokenizer does not have");
    check<DataError>(std::ssize(ids) <= bundle.config.max_text_tokens, "[", file.string(), "] the caption has ",
                     ids.size(), " tokens, this model takes at most ", bundle.config.max_text_tokens);
    pixels.push_back(pixels_from_bytes(load_square(file, bundle.config.image_size)));
    latents.push_back(bundle.autoencoder->to_latent(bundle.autoencoder->encode(pixels.back().unsqueeze(0)).mean)[0]);
    for (auto& word : scenes::parse_caption(caption).unknown_words) words.insert(std::move(word));
    mix.captions.push_back(caption);
    mix.ids.push_back(std::move(ids));
  }
  mix.pixels_NCHW = at::stack(pixels);
  mix.latents_NCHW = at::stack(latents).to(at::kFloat);
  mix.new_words.assign(words.begin(), words.end());
  return mix;
}

DrawingParts::DrawingParts(const JointBundle& bundle) {
  register_module("model", bundle.model);
  register_module("autoencoder", bundle.autoencoder);
  for (auto& item : bundle.autoencoder->named_parameters())
    item.value().set_requires_grad(item.key().starts_with("decoder.") || item.key().starts_with("post_quant_conv."));
}

at::Tensor decoder_loss(latent::AutoencoderKL& autoencoder, const PictureMix& mix, const at::Tensor& scenes_BCHW,
                        at::Generator& generator) {
  const auto pick = at::randint(mix.pixels_NCHW.size(0), {scenes_BCHW.size(0)}, generator, at::kLong);
  at::Tensor latents;
  {
    const c10::NoGradGuard no_grad;
    latents = autoencoder.to_latent(autoencoder.encode(scenes_BCHW).mean).to(at::kFloat);
  }
  const auto z = at::cat({latents, mix.latents_NCHW.index_select(0, pick)});
  const auto error =
      autoencoder.decode(autoencoder.from_latent(z)) - at::cat({scenes_BCHW, mix.pixels_NCHW.index_select(0, pick)});
  return error.abs().mean() + 4 * error.square().mean();
}

}  // namespace polyphony::pipelines
