// SPDX-License-Identifier: Apache-2.0
// GPT-2's cut of a text into words, beyond which byte-level BPE does not merge.
// Source: Language Models are Unsupervised Multitask Learners (2019) and its code's pattern.
#pragma once
#include <cstddef>
#include <string_view>

namespace polyphony::text {

// Bytes of the first word of a text that is not empty: 's 't 're 've 'm 'll 'd; or one space and letters, numbers, or
// neither; or white space up to, but without, the one that the next word begins with.
size_t first_word(std::string_view text);

}  // namespace polyphony::text
