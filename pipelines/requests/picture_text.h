// SPDX-License-Identifier: Apache-2.0
// The texts inside a PNG that say how it was made.
#pragma once
#include <string>
#include <string_view>

namespace polyphony::pipelines {

struct PictureText {
  std::string parameters;  // `parameters`: prompt, then "Steps: 20, CFG scale: 2, ..."; empty if there is none
  std::string json;        // our own iTXt `polyphony`; empty if there is none or it is no request of ours
};

// Throws DataError for bytes that are no whole PNG. Other formats hold no text for us.
PictureText read_picture_text(std::string_view png);

}  // namespace polyphony::pipelines
