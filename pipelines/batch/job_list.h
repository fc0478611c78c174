// SPDX-License-Identifier: Apache-2.0
// The lines of a jobs file as requests, or as the reason why a line is none.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/session.h"

namespace polyphony::pipelines {

struct Job {
  int64_t line = 0;                // from 1
  std::string id;                  // "id" of the line, or "item-<line>"; "#<line>" where the line has no usable one
  std::optional<Request> request;  // nothing: a bad line
  std::string request_json;        // canonical; the line itself for a bad one
  std::string digest;              // SHA-256 of request_json
  ErrorReport error;               // why the line is bad
};

// At most 256 MiB. Blank lines are passed over. Ids are plain file names, each used once.
// Throws DataError if the file cannot be read or holds no line.
std::vector<Job> read_jobs(const std::string& file);

}  // namespace polyphony::pipelines
