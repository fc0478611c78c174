// SPDX-License-Identifier: Apache-2.0
// What can be checked without LibTorch.
#pragma once
#include "pipelines/doctor/doctor.h"

namespace polyphony::pipelines {

Finding check_memory();
Finding check_disk();
Finding check_temporary_folder();
Finding check_model(const std::string& folder);

}  // namespace polyphony::pipelines
