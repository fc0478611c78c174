// SPDX-License-Identifier: Apache-2.0
#include "core/device.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace polyphony {
namespace {

TEST(Device, KnowsItsWords) {
  EXPECT_EQ(parse_device("cpu"), at::Device(at::kCPU));
  EXPECT_EQ(parse_device("auto").is_cuda(), num_gpus() > 0);
  for (const char* word : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU"})
    EXPECT_THROW(parse_device(word), UsageError) << word;
}

TEST(Device, NamesWhatExistsWhereAGpuIsMissing) {
  try {
    parse_device("cuda:99");
    FAIL() << "there are no hundred GPUs";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("cpu"), std::string::npos);
  }
}

TEST(Device, ReportsVersionsAndWhyLibrariesDoNotOpen) {
  const DeviceReport report = device_report();
  EXPECT_FALSE(report.torch_version.empty());
  EXPECT_FALSE(report.cpu_capability.empty());
  EXPECT_GE(report.cpu_threads, 1);
  EXPECT_EQ(report.cuda_loadable, report.cuda_problem.empty());
  EXPECT_EQ(report.nccl_loadable, report.nccl_problem.empty());
}

}  // namespace
}  // namespace polyphony
