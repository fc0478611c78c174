// SPDX-License-Identifier: Apache-2.0
// One session a kind of model, and what they share. To add one: a file here and a row in open_session.cpp.
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "pipelines/session.h"

namespace polyphony::pipelines {

// Called on a folder that is there, for a model on the CPU.
std::unique_ptr<Session> open_joint_session(const SessionOptions& options, const std::filesystem::path& folder);
std::unique_ptr<Session> open_dit_moe_session(const SessionOptions& options, const std::filesystem::path& folder);

// Matrix products split their sums by the number of threads, so one request runs on one: a picture's bytes then depend
// on its seed alone. A small model loses little by it; for the few tokens of a caption threads cost more than they
// bring.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start);

// u8 (H, W, 3) -> plain pixels.
RgbImage image_from(const at::Tensor& bytes_HWC);

// The folder's name and the first digits of a SHA-256 of the weights: "polyphony-scenes 3fa9c1d2". Of a file above 64
// MiB the digest takes the size and 64 pieces at equal distances, so that opening a large model is not hashing it.
std::string model_name(const std::filesystem::path& folder, const std::filesystem::path& weights);

}  // namespace polyphony::pipelines
