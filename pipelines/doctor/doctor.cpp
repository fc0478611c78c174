// SPDX-License-Identifier: Apache-2.0
// The checks that need LibTorch, and the list of all.
#include "pipelines/doctor/doctor.h"

#include <ATen/ATen.h>
#include <ATen/cpu/Utils.h>

#include <functional>

#include "core/base/cpu_level.h"
#include "core/device.h"
#include "pipelines/doctor/system_checks.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr double kFloatTolerance = 1e-4;
constexpr double kTf32Tolerance = 1e-2;
constexpr double kBfloat16Tolerance = 0.5;  // 8 bits of mantissa over sums of 32 terms

Finding check_torch(const DeviceReport& report) {
  return {Verdict::ok, "torch",
          "LibTorch " + report.torch_version + " loads, " + std::to_string(report.cpu_threads) + " threads", ""};
}

Finding check_cpu(const DeviceReport& report) {
  const std::string level = "LibTorch: " + report.cpu_capability + (at::cpu::init_amx() ? ", AMX" : "") +
                            "; bf16 products: " + std::string(to_string(cpu_level()));
  if (report.cpu_capability != "DEFAULT") return {Verdict::ok, "cpu", level, ""};
  return {Verdict::warn, "cpu", "no AVX2: slow", "use a processor with AVX2 or a GPU"};
}

// The product of small matrices against sums in double.
Finding check_matmul(const at::Device& device, at::ScalarType dtype, double tolerance) {
  const std::string name = "matmul " + device.str() + " " + (dtype == at::kFloat ? "float32" : "bfloat16");
  const auto x = (at::arange(32 * 32, at::kDouble).reshape({32, 32}).sin());
  const auto expected = x.matmul(x);
  const auto y = x.to(device, dtype);
  const auto worst = (y.matmul(y).to(at::kCPU, at::kDouble) - expected).abs().max().item<double>();
  if (worst <= tolerance) return {Verdict::ok, name, "right within " + std::to_string(tolerance), ""};
  return {Verdict::fail, name, "wrong by " + std::to_string(worst), "this LibTorch and this device do not fit"};
}

// Without a GPU all is well unless one was asked for.
Finding check_cuda(const DeviceReport& report, bool required) {
  if (report.num_gpus > 0 && report.cuda_loadable)
    return check_matmul(parse_device("cuda"), at::kFloat, kTf32Tolerance);
  const auto why = report.num_gpus == 0 ? "the driver shows no GPU" : report.cuda_problem;
  if (!required && report.num_gpus == 0) return {Verdict::ok, "cuda", "not used: " + std::string(why), ""};
  return {required ? Verdict::fail : Verdict::warn, "cuda", why,
          "install the NVIDIA driver and LibTorch's CUDA libraries, or use --device cpu"};
}

Finding check_nccl(const DeviceReport& report) {
  if (report.nccl_loadable) return {Verdict::ok, "nccl", "loads", ""};
  if (report.num_gpus < 2) return {Verdict::ok, "nccl", "not loaded, and only several GPUs need it", ""};
  return {Verdict::warn, "nccl", report.nccl_problem, "install libnccl2, or pip's nvidia-nccl-cu13 beside LibTorch"};
}

Finding guarded(const std::string& name, const std::function<Finding()>& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return {Verdict::fail, name, error.what(), ""};
  }
}

}  // namespace

std::vector<Finding> run_doctor(const DoctorOptions& options) {
  const bool wants_cuda = options.device.rfind("cuda", 0) == 0;
  const auto report = device_report();
  return {
      check_torch(report),
      check_cpu(report),
      guarded("matmul cpu float32", [] { return check_matmul(at::kCPU, at::kFloat, kFloatTolerance); }),
      guarded("matmul cpu bfloat16", [] { return check_matmul(at::kCPU, at::kBFloat16, kBfloat16Tolerance); }),
      guarded("cuda", [&] { return check_cuda(report, wants_cuda); }),
      check_nccl(report),
      guarded("memory", &check_memory),
      guarded("disk", &check_disk),
      guarded("temporary folder", &check_temporary_folder),
      guarded("model", [&] { return check_model(options.model); }),
  };
}

bool has_failure(const std::vector<Finding>& findings) {
  for (const auto& finding : findings)
    if (finding.verdict == Verdict::fail) return true;
  return false;
}

std::string to_json(const std::vector<Finding>& findings) {
  constexpr const char* kWords[] = {"ok", "warn", "fail"};
  auto checks = nlohmann::json::array();
  for (const auto& finding : findings)
    checks.push_back({{"verdict", kWords[static_cast<int>(finding.verdict)]},
                      {"name", finding.name},
                      {"message", finding.message},
                      {"remedy", finding.remedy}});
  return dump_json({{"schema", "polyphony.doctor/1"}, {"healthy", !has_failure(findings)}, {"checks", checks}});
}

}  // namespace polyphony::pipelines
