// SPDX-License-Identifier: Apache-2.0
#include "core/base/memory.h"

#include <fstream>
#include <string>

#include "core/base/text.h"
#include "core/check.h"

namespace polyphony {

uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t kibibytes = 0;
  for (std::string unit; file >> name >> kibibytes; std::getline(file, unit))
    if (name == "MemAvailable:") return kibibytes << 10;
  return 0;
}

void check_fits_memory(uint64_t bytes, std::string_view where, std::string_view what) {
  const auto there = available_memory();
  check<MemoryError>(there == 0 || bytes <= there, "[", where, "] ", what, " needs ", human_bytes(bytes),
                     " of memory, ", human_bytes(there), " are free");
}

}  // namespace polyphony
