// SPDX-License-Identifier: Apache-2.0
#include "pipelines/chat/text_stream.h"

#include <cstdint>
#include <utility>

#include "core/base/text.h"

namespace polyphony::pipelines {
namespace {

// Bytes of the whole character that a lead byte promises; 1 for what leads none.
size_t promised(uint8_t lead) { return lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1; }

// Bytes at the end of the text that begin a character and may go on.
size_t unfinished(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<uint8_t>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    return promised(byte) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string TextStream::add(std::string_view bytes) {
  waiting_ += bytes;
  const size_t whole = waiting_.size() - unfinished(waiting_);
  const auto out = to_utf8(std::string_view(waiting_).substr(0, whole));
  waiting_.erase(0, whole);
  return out;
}

std::string TextStream::rest() { return to_utf8(std::exchange(waiting_, {})); }

}  // namespace polyphony::pipelines
