// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and SIGTERM as a question that long work asks between two steps.
#pragma once

namespace polyphony {

// SIGINT and SIGTERM are noted; the second one ends the process at once with 128 + its number, without destructors.
// SIGPIPE is ignored, so that writing to a closed pipe is an error and not a death. Called once, by main.
void install_signal_handlers();

// The number of the first signal that was noted (SIGINT, SIGTERM), or 0. Cheap; from any thread.
int interrupted() noexcept;

// The number of the first signal that was noted, or 0; the next one is a first one again.
int take_interrupt() noexcept;

// Throws CancelledError if a signal was noted.
void throw_if_interrupted();

}  // namespace polyphony
