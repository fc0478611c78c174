// SPDX-License-Identifier: Apache-2.0
// The error types of the project. Standard library only, so that gui/ may include it.
#pragma once
#include <stdexcept>
#include <string>

namespace polyphony {

// Every error that Polyphony throws. what() reads "[where] expected what, got what".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// clang-format off
class UsageError : public Error { using Error::Error; };      // a command line flag is wrong
class ConfigError : public Error { using Error::Error; };     // a recipe's key or value is wrong
class DataError : public Error { using Error::Error; };       // bytes of an input are wrong, or a file is not there
class ShapeError : public Error { using Error::Error; };      // a tensor's shape, dtype or device at a public boundary
class DeviceError : public Error { using Error::Error; };     // no such device, or it failed
class MemoryError : public Error { using Error::Error; };     // not enough memory; says how much was asked for
class NonFiniteError : public Error { using Error::Error; };  // NaN or infinity where training cannot go on
class CancelledError : public Error { using Error::Error; };  // a signal or the user stopped the work
// clang-format on

// Process exit codes; part of the API (docs/cli.md).
enum class ExitCode : int {
  ok = 0,
  failure = 1,
  usage = 2,      // flags and recipes
  bad_input = 3,  // model folder, media, data, a file that is not there
  memory = 4,
  partial = 5,  // a batch in which some items failed
  non_finite = 6,
  interrupted = 130,
  terminated = 143,
};

}  // namespace polyphony
