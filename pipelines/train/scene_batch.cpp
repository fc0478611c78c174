// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/scene_batch.h"

#include <ATen/ATen.h>

#include <array>
#include <cstring>

#include "pipelines/data/scenes/render.h"

namespace polyphony::pipelines {

SceneBatch scene_batch(const scenes::SceneStream& stream, uint64_t first, int64_t count) {
  SceneBatch out;
  auto bytes = at::empty({count, scenes::kImageSize, scenes::kImageSize, 3}, at::kByte);
  for (int64_t i = 0; i < count; ++i) {
    auto example = stream[first + static_cast<uint64_t>(i)];
    std::memcpy(bytes[i].mutable_data_ptr<uint8_t>(), example.rgb.data(), example.rgb.size());
    out.captions.push_back(std::move(example.caption));
    out.scenes.push_back(std::move(example.scene));
  }
  out.pixels_BCHW = pixels_from_bytes(bytes);
  return out;
}

namespace {

constexpr uint64_t kScenesPerDensePicture = 4;

// The 32x32 cells of `from` that hold an object and are still free in `taken` go into `into`. Both u8 (H, W, 3).
void copy_cells(const scenes::Scene& scene, const at::Tensor& from, const at::Tensor& into,
                std::array<bool, 9>& taken) {
  constexpr int64_t side = scenes::kCellSize;
  for (const auto& object : scene.objects) {
    if (taken[object.place]) continue;
    taken[object.place] = true;
    const auto cell = [&](const at::Tensor& picture) {
      return picture.narrow(0, object.place / 3 * side, side).narrow(1, object.place % 3 * side, side);
    };
    cell(into).copy_(cell(from));
  }
}

}  // namespace

at::Tensor dense_scene_batch(const scenes::SceneStream& stream, uint64_t first, int64_t count) {
  auto bytes = at::empty({count, scenes::kImageSize, scenes::kImageSize, 3}, at::kByte);
  auto drawn = at::empty({scenes::kImageSize, scenes::kImageSize, 3}, at::kByte);
  const auto render = [](const scenes::Scene& scene, const at::Tensor& into) {
    scenes::render_scene(scene, {into.mutable_data_ptr<uint8_t>(), static_cast<size_t>(scenes::kImageBytes)});
  };
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t index = (first + static_cast<uint64_t>(i)) * kScenesPerDensePicture;
    const auto base = stream.scene(index);
    render(base, bytes[i]);
    if (i % 2 == 0) continue;
    std::array<bool, 9> taken{};
    for (const auto& object : base.objects) taken[object.place] = true;
    for (uint64_t k = 1; k < kScenesPerDensePicture; ++k) {
      auto scene = stream.scene(index + k);
      scene.background = base.background;
      render(scene, drawn);
      copy_cells(scene, drawn, bytes[i], taken);
    }
  }
  return pixels_from_bytes(bytes);
}

at::Tensor pixels_from_bytes(const at::Tensor& bytes) {
  const auto f = bytes.to(at::kFloat) / 127.5f - 1.0f;
  return (bytes.dim() == 3 ? f.permute({2, 0, 1}) : f.permute({0, 3, 1, 2})).contiguous();
}

at::Tensor bytes_from_pixels(const at::Tensor& pixels) {
  const auto b = (pixels.to(at::kFloat) * 127.5f + 127.5f).round().clamp(0, 255).to(at::kByte);
  return (pixels.dim() == 3 ? b.permute({1, 2, 0}) : b.permute({0, 2, 3, 1})).contiguous();
}

at::Tensor contact_sheet(const at::Tensor& pictures_BHWC, int64_t columns) {
  constexpr int64_t gap = 2;
  const int64_t B = pictures_BHWC.size(0), H = pictures_BHWC.size(1), W = pictures_BHWC.size(2);
  const int64_t rows = (B + columns - 1) / columns;
  auto sheet = at::full({rows * (H + gap) - gap, columns * (W + gap) - gap, 3}, 128, at::kByte);
  for (int64_t i = 0; i < B; ++i)
    sheet.narrow(0, (i / columns) * (H + gap), H).narrow(1, (i % columns) * (W + gap), W).copy_(pictures_BHWC[i]);
  return sheet;
}

}  // namespace polyphony::pipelines
