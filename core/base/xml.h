// SPDX-License-Identifier: Apache-2.0
// Text within XML, for the figures that programs write.
#pragma once
#include <string>
#include <string_view>

namespace polyphony {

// & < > " as entities.
std::string xml_escaped(std::string_view text);

}  // namespace polyphony
