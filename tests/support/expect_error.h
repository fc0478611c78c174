// SPDX-License-Identifier: Apache-2.0
// EXPECT_REFUSED: a statement throws exactly this error type with all these words in its message.
#pragma once
#include <gmock/gmock.h>

#include <exception>
#include <initializer_list>
#include <string>

namespace polyphony::testing {

// Empty when `action` throws an E whose message holds every word; otherwise what happened instead.
template <class E, class Action>
std::string why_not_refused(Action action, std::initializer_list<const char*> words) {
  try {
    action();
  } catch (const E& error) {
    const std::string message = error.what();
    for (const char* word : words) {
      if (message.find(word) == std::string::npos) return "no '" + std::string(word) + "' in: " + message;
    }
    return {};
  } catch (const std::exception& error) {
    return "another error type: " + std::string(error.what());
  }
  return "no error";
}

}  // namespace polyphony::testing

#define EXPECT_REFUSED(E, statement, ...) \
  EXPECT_EQ(polyphony::testing::why_not_refused<E>([&] { static_cast<void>(statement); }, {__VA_ARGS__}), "")
