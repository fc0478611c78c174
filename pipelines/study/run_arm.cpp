// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/run_arm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <fstream>

#include "core/base/cpu_level.h"
#include "core/base/progress.h"
#include "core/base/signals.h"
#include "core/base/text.h"
#include "core/check.h"

namespace polyphony::pipelines {
namespace {

std::string machine() {
  std::string name = "an unnamed processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    name = std::string(trim(line.substr(line.find(':') + 1)));
    break;
  }
  return name + ", one thread, level " + std::string(to_string(cpu_level()));
}

}  // namespace

const StudyArm& arm_named(const Study& study, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& arm : study.arms) {
    if (arm.name == name) return arm;
    known.push_back(arm.name);
  }
  fail<ConfigError>("[study] ", study.name, " has no arm '", printable(name), "', only ", join_names(known),
                    did_you_mean(name, known));
}

StudyRunRecord run_arm(const RunKey& key) {
  at::set_num_threads(1);
  at::manual_seed(key.seed);
  const double start = monotonic_seconds();
  auto metrics =
      key.arm.run({.seed = key.seed, .quick = key.quick, .progress = [](int64_t, int64_t) { throw_if_interrupted(); }});
  for (const auto& [name, value] : metrics)
    check<NonFiniteError>(std::isfinite(value), "[study] ", key.study.name, ", arm '", key.arm.name, "', seed ",
                          key.seed, ": '", name, "' is not finite");
  return {.arm = key.arm.name,
          .seed = key.seed,
          .metrics = std::move(metrics),
          .seconds = monotonic_seconds() - start,
          .machine = machine()};
}

}  // namespace polyphony::pipelines
