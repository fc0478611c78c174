// SPDX-License-Identifier: Apache-2.0
// A user's own folder of pictures with captions.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace polyphony::pipelines {

inline constexpr int64_t kMaxCaptionedPictures = 100'000;

struct CaptionedPicture {
  std::filesystem::path file = {};
  std::string caption = {};  // UTF-8, trimmed, not empty
};

// Every picture in the folder with the text of the same name beside it (ring.png and ring.txt), or as the folder's
// metadata.jsonl says: one {"file_name": "ring.png", "text": "a ring"} a line, as Hugging Face's imagefolder has them.
// In the order of names, or of the lines. Files whose names begin with a dot are passed over. Throws DataError for a
// folder without pictures, a picture without a caption, a caption without a picture and more than
// kMaxCaptionedPictures.
std::vector<CaptionedPicture> list_captioned_pictures(const std::filesystem::path& folder);

// The whole picture in a square of `side` pixels, the rest in the colour of its top left corner: u8 (side, side, 3).
// What captioning a file does too. Throws DataError naming a file that is no picture.
at::Tensor load_square(const std::filesystem::path& file, int64_t side);
at::Tensor fit_square(const at::Tensor& bytes_HWC, int64_t side);

}  // namespace polyphony::pipelines
