// SPDX-License-Identifier: Apache-2.0
// Checks of an installation, each with a verdict and, where it is not well, a remedy.
#pragma once
#include <string>
#include <vector>

namespace polyphony::pipelines {

enum class Verdict { ok, warn, fail };

struct Finding {
  Verdict verdict = Verdict::ok;
  std::string name;     // "torch", "cuda", ...
  std::string message;  // what was found
  std::string remedy;   // empty where all is well
};

struct DoctorOptions {
  std::string device = "auto";  // cuda: a missing GPU is a failure, not a remark
  std::string model;            // folder; empty: the model that ships
};

// Runs every check; none throws.
std::vector<Finding> run_doctor(const DoctorOptions& options);

bool has_failure(const std::vector<Finding>& findings);
std::string to_json(const std::vector<Finding>& findings);  // schema "polyphony.doctor/1"

}  // namespace polyphony::pipelines
