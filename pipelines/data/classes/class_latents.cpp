// SPDX-License-Identifier: Apache-2.0
// Latents that were made before, in one file.
#include <ATen/ATen.h>

#include "core/check.h"
#include "core/tensor_io.h"
#include "pipelines/data/classes/class_data.h"

namespace polyphony::pipelines {
namespace {

class ClassLatents : public ClassData {
 public:
  ClassLatents(const std::filesystem::path& file, int64_t channels, int64_t side) {
    const auto tensors = load_tensors(file);
    for (const char* name : {"latents", "labels"})
      check<DataError>(tensors.contains(name), "[", file.string(), "] the tensor '", name, "' is missing");
    latents_ = tensors.at("latents");
    labels_ = tensors.at("labels");
    check<DataError>(latents_.dim() == 4 && latents_.is_floating_point() && latents_.size(0) > 0 &&
                         latents_.sizes().slice(1) == at::IntArrayRef({channels, side, side}),
                     "[", file.string(), "] 'latents' must be floating (N, ", channels, ", ", side, ", ", side,
                     "), got ", latents_.scalar_type(), " ", latents_.sizes());
    check<DataError>(labels_.sizes() == latents_.sizes().slice(0, 1) && labels_.scalar_type() == at::kLong, "[",
                     file.string(), "] 'labels' must be i64 (", latents_.size(0), "), got ", labels_.scalar_type(), " ",
                     labels_.sizes());
    const auto low = labels_.min().item<int64_t>();
    const auto high = labels_.max().item<int64_t>();
    check<DataError>(low >= 0, "[", file.string(), "] 'labels' must not be negative, got ", low);
    check<DataError>(high < kMaxClasses, "[", file.string(), "] 'labels' must be below ", kMaxClasses, ", got ", high);
    latents_ = latents_.to(at::kFloat);
    check_finite({{"latents", latents_}}, file.string());
  }

  int64_t size() const override { return latents_.size(0); }
  int64_t label(int64_t i) const override { return labels_.const_data_ptr<int64_t>()[i]; }
  int64_t num_classes() const override { return labels_.max().item<int64_t>() + 1; }
  at::Tensor sample(int64_t i, bool mirrored, at::Generator&) override {
    check<ConfigError>(!mirrored, "[latents] cannot be mirrored");
    return latents_[i];
  }

 private:
  at::Tensor latents_, labels_;
};

}  // namespace

std::unique_ptr<ClassData> open_class_latents(const std::filesystem::path& file, int64_t channels, int64_t side) {
  return std::make_unique<ClassLatents>(file, channels, side);
}

}  // namespace polyphony::pipelines
