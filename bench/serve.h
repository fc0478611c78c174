// SPDX-License-Identifier: Apache-2.0
// A program of ./run bench answers one request a line, so that a driver can let it and its peers take turns.
//   request:  VERB [WORD...]     answer: one line of JSON, with "error" where the request failed
// The first line that it writes says that it is ready. Everything else goes to stderr.
#pragma once
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/tensor_io.h"

namespace polyphony::bench {

using Words = std::vector<std::string>;
using Answer = std::function<nlohmann::json(const Words&)>;

// One tensor after another: the norm of what differs over the norm of `right`, the largest of all.
inline double relative_rms(const TensorMap& left, const TensorMap& right) {
  double worst = 0;
  for (const auto& [name, tensor] : right) {
    const auto wide = tensor.to(at::kDouble);
    const auto norm = wide.norm().item<double>();
    worst = std::max(worst, (left.at(name).to(at::kDouble) - wide).norm().item<double>() / std::max(norm, 1e-30));
  }
  return worst;
}

// Answers until the input ends. Beside `answers` every program compares two files of tensors: compare LEFT RIGHT.
inline void serve(const nlohmann::json& ready, std::map<std::string, Answer> answers) {
  answers["compare"] = [](const Words& files) -> nlohmann::json {
    return {{"relative_rms", relative_rms(load_tensors(files.at(0)), load_tensors(files.at(1)))}};
  };
  std::cout << ready.dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream stream(line);
    Words words{std::istream_iterator<std::string>(stream), {}};
    if (words.empty()) continue;
    const std::string verb = words.front();
    words.erase(words.begin());
    nlohmann::json answer;
    try {
      answer = answers.at(verb)(words);
    } catch (const std::exception& error) {
      answer = {{"error", verb + ": " + error.what()}};
    }
    std::cout << answer.dump() << std::endl;
  }
}

}  // namespace polyphony::bench
