// SPDX-License-Identifier: Apache-2.0
// A session without a model: answers at once or as slowly as asked for, and fails as asked for.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "pipelines/session.h"

namespace polyphony::testing {

struct FakeBehaviour {
  std::chrono::milliseconds step_time{0};
  std::function<void()> on_generate;  // may throw
  std::function<void()> on_caption;   // may throw
  std::string caption_text = "a large red circle in the centre on a white background";
  std::atomic<int> calls = 0;         // of generate and caption, also those that failed
  std::atomic<int> running = 0;       // at this moment
  std::atomic<int> most_running = 0;  // at once: more than 1 breaks the contract
};

// A colour field that depends on the seed, so that pictures of two seeds differ.
inline pipelines::RgbImage fake_picture(uint64_t seed) {
  pipelines::RgbImage image{16, 16, {}};
  for (int64_t y = 0; y < image.height; ++y)
    for (int64_t x = 0; x < image.width; ++x)
      for (const auto value : {seed * 37 + 8 * x, seed * 101 + 8 * y, uint64_t{128}})
        image.pixels.push_back(static_cast<uint8_t>(value));
  return image;
}

class FakeSession : public pipelines::Session {
 public:
  explicit FakeSession(std::shared_ptr<FakeBehaviour> behaviour) : behaviour_(std::move(behaviour)) {}

  std::optional<pipelines::GenerateResult> generate(const pipelines::GenerateRequest& request,
                                                    const pipelines::OnProgress& on_progress) override {
    const Running running(*behaviour_);
    pipelines::check_request(request);
    if (behaviour_->on_generate) behaviour_->on_generate();
    pipelines::GenerateResult result;
    result.used = request;
    result.used.steps = request.steps.value_or(4);
    result.used.guidance = request.guidance.value_or(2.0);
    result.used.seed = request.seed.value_or(pipelines::random_seed());
    result.model = "fake 00000000";
    result.device = "cpu";
    result.dtype = "float32";
    for (int64_t step = 1; step <= *result.used.steps; ++step) {
      std::this_thread::sleep_for(behaviour_->step_time);
      if (!on_progress({"generate", step, *result.used.steps, fake_picture(*result.used.seed)})) return std::nullopt;
    }
    for (int64_t i = 0; i < request.count; ++i) {
      const auto seed = *result.used.seed + static_cast<uint64_t>(i);
      result.pictures.push_back(
          {fake_picture(seed), seed, pipelines::parameters_json(result.used, seed, result.model)});
    }
    return result;
  }

  std::optional<pipelines::CaptionResult> caption(const pipelines::CaptionRequest& request,
                                                  const pipelines::OnProgress& on_progress) override {
    const Running running(*behaviour_);
    pipelines::check_request(request);
    if (behaviour_->on_caption) behaviour_->on_caption();
    std::this_thread::sleep_for(behaviour_->step_time);
    pipelines::CaptionResult result;
    result.picture = request.image.value_or(fake_picture(1));
    if (!on_progress({"caption", 1, 1, result.picture})) return std::nullopt;
    result.text = behaviour_->caption_text;
    result.confidence = 0.9;
    result.tokens = 10;
    result.model = "fake 00000000";
    result.device = "cpu";
    result.dtype = "float32";
    result.file = request.file;
    return result;
  }

  pipelines::ModelDescription describe() const override {
    return {.name = "fake",
            .folder = "",
            .model_type = "fake",
            .parameters_total = 2'000'000,
            .parameters_active = 1'000'000,
            .device = "cpu",
            .dtype = "float32",
            .picture_width = 16,
            .picture_height = 16,
            .default_steps = 4,
            .default_guidance = 2.0,
            .can_generate = true,
            .can_caption = true,
            .example_prompt = "a small blue square on the left"};
  }

 private:
  struct Running {
    explicit Running(FakeBehaviour& b) : behaviour(b) {
      ++behaviour.calls;
      const int now = ++behaviour.running;
      if (now > behaviour.most_running) behaviour.most_running = now;
    }
    ~Running() { --behaviour.running; }
    FakeBehaviour& behaviour;
  };
  std::shared_ptr<FakeBehaviour> behaviour_;
};

}  // namespace polyphony::testing
