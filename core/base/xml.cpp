// SPDX-License-Identifier: Apache-2.0
#include "core/base/xml.h"

#include <array>

namespace polyphony {

std::string xml_escaped(std::string_view text) {
  constexpr std::string_view kSpecial = "&<>\"";
  constexpr std::array<std::string_view, 4> kEntities = {"&amp;", "&lt;", "&gt;", "&quot;"};
  std::string out;
  for (const char c : text) {
    const auto place = kSpecial.find(c);
    if (place == std::string_view::npos) {
      out += c;
    } else {
      out += kEntities[place];
    }
  }
  return out;
}

}  // namespace polyphony
