// SPDX-License-Identifier: Apache-2.0
// Golden cases: timesteps and samples of diffusers' schedulers, made by scripts/golden/schedules.py.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/tensor_io.h"
#include "modalities/latent/ddim.h"
#include "modalities/latent/ddpm.h"
#include "modalities/latent/dpm_solver.h"
#include "modalities/latent/flow_matching.h"

namespace polyphony::latent {
namespace {

const TensorMap& golden() {
  static const TensorMap tensors =
      load_tensors(std::string(POLYPHONY_SOURCE_DIR) + "/tests/golden/schedules/schedules.safetensors");
  return tensors;
}
at::Tensor fake_model(const at::Tensor& x, double t) { return 0.3 * x + 0.01 * std::sin(t); }

// What a sampler did, in the form of the golden file.
struct Trace {
  std::vector<double> timesteps;
  std::vector<at::Tensor> samples;

  DiscreteModel model() {
    return [this](const at::Tensor& x, int64_t t) {
      timesteps.push_back(static_cast<double>(t));
      return fake_model(x, static_cast<double>(t));
    };
  }
  OnStep on_step() {
    return [this](const SampleStep& step) {
      samples.push_back(step.x);
      return true;
    };
  }
  void expect(const std::string& name, double tolerance) const {
    const at::Tensor& wanted_t = golden().at(name + ".timesteps");
    const at::Tensor& wanted = golden().at(name + ".samples");
    ASSERT_EQ(static_cast<int64_t>(timesteps.size()), wanted_t.numel()) << name;
    EXPECT_LE((at::tensor(timesteps, at::kDouble) - wanted_t).abs().max().item<double>(), 1e-3) << name;
    for (size_t i = 0; i < samples.size(); ++i) {
      const at::Tensor step = wanted[static_cast<int64_t>(i)];
      EXPECT_LE((samples[i] - step).abs().max().item<double>(), tolerance * (1 + step.abs().max().item<double>()))
          << name << " step " << i;
    }
  }
};

constexpr double kExact = 1e-10;  // f64 on both sides
constexpr double kFloat = 2e-5;   // f32 inside diffusers

void expect_ddim(const std::string& name, const SpacingOptions& spacing, const DdimOptions& options = {}) {
  Trace trace;
  ddim_sample(linear_schedule(), golden().at("start"), trace.model(), {.spacing = spacing, .step = options},
              trace.on_step());
  trace.expect(name, kExact);
}

TEST(SchedulesGolden, DdimAgreesInEverySpacing) {
  expect_ddim("ddim_leading", {.steps = 10});
  expect_ddim("ddim_leading_offset", {.steps = 7, .offset = 1}, {.final_alpha_one = false});
  expect_ddim("ddim_trailing", {.steps = 10, .spacing = Spacing::trailing});
  expect_ddim("ddim_linspace", {.steps = 10, .spacing = Spacing::linspace});
}

TEST(SchedulesGolden, DdimAgreesInEveryPrediction) {
  expect_ddim("ddim_clip", {.steps = 10}, {.clip_sample = true});
  expect_ddim("ddim_velocity", {.steps = 10}, {.prediction = Prediction::velocity});
  expect_ddim("ddim_sample", {.steps = 10}, {.prediction = Prediction::sample});
}

TEST(SchedulesGolden, DdimAgreesWithNoise) {
  const NoiseSchedule schedule = linear_schedule();
  Trace trace;
  at::Tensor x = golden().at("start");
  for (const Transition& transition : ddim_transitions(schedule, {.steps = 10})) {
    const at::Tensor noise = golden().at("noise")[static_cast<int64_t>(trace.samples.size())];
    x = ddim_step(schedule, transition, trace.model()(x, transition.t), x, {.eta = 1}, noise).x;
    trace.samples.push_back(x);
  }
  trace.expect("ddim_eta_one", kExact);
}

TEST(SchedulesGolden, DdpmAgreesWithFixedAndLearnedVariance) {
  const NoiseSchedule schedule = linear_schedule();
  for (const bool learned : {false, true}) {
    Trace trace;
    at::Tensor x = golden().at("start");
    for (const Transition& transition : ancestral_transitions(respaced_timesteps(schedule, "ddim10"))) {
      at::Tensor output = trace.model()(x, transition.t);
      if (learned) output = at::cat({output, x.tanh()}, 1);
      const auto variance = learned ? Variance::learned_range : Variance::fixed_small;
      const Posterior posterior = ddpm_posterior(schedule, transition, output, x, {.variance = variance});
      x = ddpm_step(posterior, transition, golden().at("noise")[static_cast<int64_t>(trace.samples.size())]);
      trace.samples.push_back(x);
    }
    trace.expect(learned ? "ddpm_learned_range" : "ddpm_fixed_small", kExact);
  }
}

void expect_dpm(const std::string& name, const DpmSolverOptions& options) {
  Trace trace;
  dpm_solver_sample(linear_schedule(), golden().at("start"), trace.model(), options, trace.on_step());
  trace.expect(name, kFloat);
}

TEST(SchedulesGolden, DpmSolverAgrees) {
  expect_dpm("dpm_5", {.steps = 5});
  expect_dpm("dpm_20", {.steps = 20});
  expect_dpm("dpm_20_leading", {.steps = 20, .spacing = Spacing::leading});
  expect_dpm("dpm_20_trailing", {.steps = 20, .spacing = Spacing::trailing});
  expect_dpm("dpm_10_velocity", {.steps = 10, .prediction = Prediction::velocity});
  expect_dpm("dpm_20_karras", {.steps = 20, .karras = true});
}

TEST(SchedulesGolden, EulerAgreesWithTheFlowMatchScheduler) {
  for (const double shift : {1.0, 3.0}) {
    Trace trace;
    const auto model = [&](const at::Tensor& x, double t) {
      trace.timesteps.push_back(1000 * t);
      return fake_model(x, 1000 * t);
    };
    euler_integrate(golden().at("start"), model, diffusers_flow_times(10, shift), trace.on_step());
    trace.expect(shift == 1 ? "flow_shift_1" : "flow_shift_3", kFloat);
  }
}

}  // namespace
}  // namespace polyphony::latent
