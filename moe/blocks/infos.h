// SPDX-License-Identifier: Apache-2.0
// What there is beside the expert kinds of a layer: blocks and layers whose parts are experts, for lists.
#pragma once
#include <string>
#include <vector>

namespace polyphony::moe {

struct ExpertBlockInfo {
  std::string name;
  std::string summary;  // one line
  std::string source;   // paper, section
  std::string where;    // header, or key of [moe]
};
std::vector<ExpertBlockInfo> expert_block_infos();

}  // namespace polyphony::moe
