// SPDX-License-Identifier: Apache-2.0
// Samples with class labels that a class-conditional generator learns from.
// Shapes: C channels, H = W = side, of latents or of pixels.
#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "modalities/latent/autoencoder_kl.h"

namespace polyphony::pipelines {

inline constexpr int64_t kMaxClasses = 1 << 20;  // as a DiT-MoE's config allows

class ClassData {
 public:
  virtual ~ClassData() = default;
  virtual int64_t size() const = 0;
  virtual int64_t label(int64_t i) const = 0;
  virtual int64_t num_classes() const = 0;
  virtual std::map<int64_t, std::string> names() const { return {}; }
  // Sample i, f32 (C, H, W): scaled latents, or pixels in [-1, 1]. `generator` draws what an encoder draws; what is
  // read from disk is kept while it fits. Throws DataError naming the file.
  virtual at::Tensor sample(int64_t i, bool mirrored, at::Generator& generator) = 0;
};

struct ClassImagesOptions {
  std::filesystem::path folder = {};                        // one folder a class
  std::shared_ptr<latent::AutoencoderKL> autoencoder = {};  // null: samples are pixels
  int64_t side = 32;     // H of a sample; pictures are scaled and cropped to the pixels that it stands for
  int64_t channels = 3;  // of pixels: 1 is the mean of the colours
  uint64_t cache_bytes = uint64_t{2} << 30;
};
// A folder's name is its class where all names are numbers from 0; else classes count the names in order of letters.
// Files whose names begin with a dot are passed over. All headers are read at once. Throws DataError for a folder
// without classes, a class without pictures and a file that is no picture.
std::unique_ptr<ClassData> open_class_images(const ClassImagesOptions& options);

// A .safetensors file with `latents` f32 (N, C, H, W), scaled, and `labels` i64 (N). They cannot be mirrored.
// Throws DataError.
std::unique_ptr<ClassData> open_class_latents(const std::filesystem::path& file, int64_t channels, int64_t side);

}  // namespace polyphony::pipelines
