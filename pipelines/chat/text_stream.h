// SPDX-License-Identifier: Apache-2.0
// Bytes that come in pieces to whole characters.
#pragma once
#include <string>
#include <string_view>

namespace polyphony::pipelines {

class TextStream {
 public:
  // The characters that are whole now; the beginning of one waits for its rest. Bytes that are no UTF-8 become U+FFFD.
  std::string add(std::string_view bytes);
  // What still waits, at the end.
  std::string rest();

 private:
  std::string waiting_;
};

}  // namespace polyphony::pipelines
