// SPDX-License-Identifier: Apache-2.0
// docs/experts_and_losses.md holds the rows of the registries: all of them, and no others.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "moe/blocks/infos.h"
#include "moe/expert_bank.h"
#include "moe/losses/registry.h"

namespace polyphony::moe {
namespace {

std::vector<std::string> table_rows_of_page() {
  std::ifstream page(POLYPHONY_SOURCE_DIR "/docs/experts_and_losses.md");
  std::vector<std::string> rows;
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| `")) rows.push_back(line);
  return rows;
}

std::string cells(const std::string& name, const std::string& summary, const std::string& source) {
  return "| `" + name + "` | " + summary + " | " + source + " | ";
}

// The options that are not every row's own, as the page writes them.
std::string keys(const std::vector<OptionInfo>& options, const std::vector<std::string>& of_all) {
  std::string text;
  for (const auto& option : options)
    if (std::find(of_all.begin(), of_all.end(), option.key) == of_all.end())
      text += (text.empty() ? "`" : ", `") + option.key + "`";
  return text;
}

TEST(ExpertsAndLossesPage, HoldsTheRowsOfTheRegistries) {
  std::vector<std::string> expected;
  for (const auto& row : expert_bank_infos())
    expected.push_back(cells(row.name, row.summary, row.source) +
                       keys(row.options, {"compute_dtype", "lsh_hashes", "lsh_seed"}) + " |");
  for (const auto& row : expert_block_infos())
    expected.push_back(cells(row.name, row.summary, row.source) + "`" + row.where + "` |");
  for (const auto& row : loss_infos()) {
    std::string needs;
    for (const auto& need : row.needs) needs += (needs.empty() ? "" : ", ") + need;
    expected.push_back(cells(row.name, row.summary, row.source) + needs + " | " + keys(row.options, {}) + " |");
  }
  EXPECT_EQ(table_rows_of_page(), expected);
}

}  // namespace
}  // namespace polyphony::moe
