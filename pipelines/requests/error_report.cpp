// SPDX-License-Identifier: Apache-2.0
// The one table from error type to exit code, code word and hint.
#include <exception>
#include <new>

#include "core/base/text.h"
#include "pipelines/session.h"

namespace polyphony::pipelines {
namespace {

struct Row {
  bool (*matches)(const std::exception&);
  ExitCode exit_code;
  const char* code;
  const char* hint;
};

template <class E>
bool is(const std::exception& error) {
  return dynamic_cast<const E*>(&error) != nullptr;
}

constexpr Row kRows[] = {
    {&is<UsageError>, ExitCode::usage, "usage", ""},
    {&is<ConfigError>, ExitCode::usage, "config", ""},
    {&is<DataError>, ExitCode::bad_input, "data", ""},
    {&is<ShapeError>, ExitCode::bad_input, "shape", ""},
    {&is<DeviceError>, ExitCode::bad_input, "device",
     "use --device cpu, or run 'polyphony doctor' to see what is missing"},
    {&is<MemoryError>, ExitCode::memory, "memory",
     "use a smaller model or batch, fewer pictures at once, or --dtype bfloat16"},
    {&is<std::bad_alloc>, ExitCode::memory, "memory",
     "use a smaller model or batch, fewer pictures at once, or --dtype bfloat16"},
    {&is<NonFiniteError>, ExitCode::non_finite, "non_finite", ""},
    {&is<CancelledError>, ExitCode::interrupted, "cancelled", ""},
};

}  // namespace

ErrorReport report_error(const std::exception_ptr& pointer) {
  try {
    std::rethrow_exception(pointer);
  } catch (const std::exception& error) {
    const auto message = printable(error.what(), 4000);
    for (const auto& row : kRows)
      if (row.matches(error)) return {row.exit_code, row.code, message, row.hint};
    return {ExitCode::failure, "failure", message, ""};
  } catch (...) {
    return {ExitCode::failure, "failure", "an error of an unknown type", ""};
  }
}

}  // namespace polyphony::pipelines
