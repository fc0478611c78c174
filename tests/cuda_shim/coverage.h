// SPDX-License-Identifier: Apache-2.0
// Which kernels there are, by reading the sources, and which of them ran.
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace polyphony::cuda_shim {

// Names of the __global__ functions of a source. Throws std::runtime_error if one is written in a way that the reader
// does not understand, or if something is launched by hand.
std::set<std::string> kernels_of(const std::string& source);

// Those of all .cu and .cuh files under a folder, cuda_launch.cuh excepted.
std::set<std::string> kernels_under(const std::filesystem::path& folder);

// A line for each of `kernels` that has not been executed.
std::vector<std::string> coverage_faults(const std::set<std::string>& kernels);

// The table of what ran, for people.
std::string coverage_table(const std::set<std::string>& kernels);

}  // namespace polyphony::cuda_shim
