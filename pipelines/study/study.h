// SPDX-License-Identifier: Apache-2.0
// A study: the same small task trained in several arms with paired seeds, and what is claimed about them.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace polyphony::pipelines {

// What a run measured, by name: "loss", "expert_calls". All finite.
using StudyMetrics = std::map<std::string, double>;

// One arm with one seed. Runs are on one thread, and LibTorch's own generator is seeded with `seed` before they start:
// arms with equal parameters start equal, and data drawn from `seed` come in the same order for all arms.
struct StudyRun {
  uint64_t seed = 0;
  bool quick = false;  // a smoke test: as few steps as show that everything works
  // To be called each step; throws when the user has asked to stop.
  std::function<void(int64_t step, int64_t num_steps)> progress;
};

struct StudyArm {
  std::string name;  // "top-2 of 8"
  std::string what;  // one line: what differs, and its active size
  std::function<StudyMetrics(const StudyRun&)> run;
};

// How a claim is judged over the paired seeds; `metric` of `arm` against `metric` of `than` times `factor`.
enum class ClaimRule {
  lower,      // mean lower, and all but one seed agree
  higher,     // mean higher, and all but one seed agree
  not_worse,  // mean at most 0.5 % above (for losses)
};

struct StudyClaim {
  std::string text;  // a sentence: "Fine-grained experts with a shared one lose less than top-2 at equal active size."
  std::string metric;
  std::string arm;
  std::string than = {};  // another arm; empty: than `factor` itself
  ClaimRule rule = ClaimRule::lower;
  double factor = 1.0;
};

struct Study {
  std::string name;         // "fine_grained": the command's argument and the file's name
  std::string title;        // "Fine-grained experts with a shared one"
  std::string source;       // paper, section
  std::string setting;      // task, model, steps, equal in what: one or two sentences
  std::string caveat = {};  // what such a small run cannot show, in a sentence
  int64_t num_seeds = 3;    // seeds 1, 2, ...: settings are tuned on seeds from 100 up
  std::vector<StudyArm> arms = {};
  std::vector<StudyClaim> claims = {};
};

// All studies, in the order of the systems' numbers. Throws ConfigError for an unknown name, listing the known.
const std::vector<Study>& studies();
const Study& study_named(const std::string& name);

}  // namespace polyphony::pipelines
