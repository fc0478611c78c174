// SPDX-License-Identifier: Apache-2.0
// A user's captioned pictures, ready to take places in the batches of the joint objective.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/joint/folder.h"

namespace polyphony::pipelines {

struct PictureMix {
  at::Tensor pixels_NCHW = {};   // f32 in [-1, 1]
  at::Tensor latents_NCHW = {};  // f32, scaled
  std::vector<std::string> captions = {};
  std::vector<std::vector<int64_t>> ids = {};
  std::vector<std::string> new_words = {};  // that the scenes' grammar does not have, sorted
};

// Reads, fits and encodes the folder. Throws DataError as list_captioned_pictures and for a caption that is too long or
// has letters that the tokenizer does not have.
PictureMix load_picture_mix(const std::filesystem::path& folder, const JointBundle& bundle);

// What is trained with such pictures: the joint model and the autoencoder's decoder, which otherwise knows the colours
// and shapes of scenes alone. Its encoder is frozen: latents keep their meaning.
struct DrawingParts : torch::nn::Module {
  explicit DrawingParts(const JointBundle& bundle);
};

inline constexpr int64_t kDecodedScenes = 4;

// How far the decoder is from as many pictures of the mix as `scenes_BCHW` holds, and from these: mean absolute error
// and four times the squared one, of pixels in [-1, 1].
at::Tensor decoder_loss(latent::AutoencoderKL& autoencoder, const PictureMix& mix, const at::Tensor& scenes_BCHW,
                        at::Generator& generator);

}  // namespace polyphony::pipelines
