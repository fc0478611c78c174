// SPDX-License-Identifier: Apache-2.0
// Checks the normaliser table inside a SentencePiece model: a double-array trie and the strings that it points to.
#pragma once
#include <string_view>

namespace polyphony::formats {

// Walks every state of the trie that some text can reach and checks that each step and each value stays inside. An
// empty table is fine. Throws DataError. Source: Darts-clone's array layout
// (github.com/s-yata/darts-clone); SentencePiece reads it without bounds checks.
void check_charsmap(std::string_view charsmap);

}  // namespace polyphony::formats
