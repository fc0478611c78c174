// SPDX-License-Identifier: Apache-2.0
// The judgement of a model on held-out scenes, as a front end asks for it. Standard library only.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipelines/session.h"

namespace polyphony::pipelines {

struct EvalOptions {
  SessionOptions session = {};
  int64_t count = 60;                   // scenes, each with a held-out combination
  uint64_t seed = 0;                    // of the scenes
  std::optional<int64_t> steps = {};    // left out: the model's shipped setting
  std::optional<double> guidance = {};  // left out: the model's shipped setting
  std::string samples = {};             // folder for what write_eval_samples writes; empty: nothing is written
  std::string experts = {};             // folder for what ExpertRecord writes; empty: nothing is written
};

struct EvalReport {
  int64_t count = 0;
  uint64_t seed = 0;
  double caption_exact = 0;        // share whose caption, parsed, is the whole truth; 0..1
  double picture_right = 0;        // share whose detected (colour, shape, place) set is exactly the asked one; 0..1
  double picture_right_sizes = 0;  // the same with sizes; 0..1
  double background_right = 0;     // share of pictures with the asked background; 0..1
  double seconds = 0;
  double seconds_generate = 0;
  double seconds_caption = 0;
  std::string model = {};
  std::string device = {};
  std::string dtype = {};
  int64_t steps = 0;
  double guidance = 0;
  std::vector<std::string> notes = {};
};

// Nothing if on_progress stopped it. Throws as open_session does.
std::optional<EvalReport> run_eval(const EvalOptions& options, const OnProgress& on_progress);
std::string to_json(const EvalReport& report);  // schema "polyphony.eval/1"

}  // namespace polyphony::pipelines
