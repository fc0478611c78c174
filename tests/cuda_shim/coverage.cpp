// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_shim/coverage.h"

#include <fstream>
#include <iomanip>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "tests/cuda_shim/grid.h"

namespace polyphony::cuda_shim {
namespace {

std::string without_arguments(const std::string& kernel) { return kernel.substr(0, kernel.find('<')); }

std::string without_comments(const std::string& source) {
  std::istringstream lines(source);
  std::string code;
  for (std::string line; std::getline(lines, line);) code += line.substr(0, line.find("//")) + "\n";
  return code;
}

}  // namespace

std::set<std::string> kernels_of(const std::string& source) {
  const std::string code = without_comments(source);
  for (const char* word : {"<<<", "__shared__"})
    if (code.find(word) != std::string::npos)
      throw std::runtime_error(std::string("expected launch_kernel and shared_memory, found ") + word);
  std::set<std::string> names;
  constexpr std::string_view kBefore = "__global__ void ";
  for (size_t at = code.find("__global__"); at != std::string::npos; at = code.find("__global__", at + 1)) {
    const size_t begin = at + kBefore.size();
    const size_t end = code.find('(', at);
    if (code.compare(at, kBefore.size(), kBefore) != 0 || end == std::string::npos)
      throw std::runtime_error("expected '__global__ void name(', found '" + code.substr(at, 40) + "'");
    names.insert(code.substr(begin, end - begin));
  }
  return names;
}

std::set<std::string> kernels_under(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const auto& path = entry.path();
    if ((path.extension() != ".cu" && path.extension() != ".cuh") || path.filename() == "cuda_launch.cuh") continue;
    std::ifstream file(path);
    try {
      names.merge(kernels_of({std::istreambuf_iterator<char>(file), {}}));
    } catch (const std::runtime_error& problem) {
      throw std::runtime_error(path.string() + ": " + problem.what());
    }
  }
  return names;
}

std::vector<std::string> coverage_faults(const std::set<std::string>& kernels) {
  std::set<std::string> ran;
  for (const auto& [name, _] : executed()) ran.insert(without_arguments(name));
  std::vector<std::string> faults;
  for (const auto& kernel : kernels)
    if (!ran.contains(kernel)) faults.push_back(kernel + " is a kernel that no test has run");
  return faults;
}

std::string coverage_table(const std::set<std::string>& kernels) {
  std::ostringstream out;
  out << "launches  blocks   threads  seconds  kernel\n" << std::fixed << std::setprecision(2);
  double seconds = 0;
  for (const auto& [name, e] : executed()) {
    if (!kernels.contains(without_arguments(name))) continue;
    out << std::setw(8) << e.launches << std::setw(8) << e.blocks << std::setw(10) << e.threads << std::setw(9)
        << e.seconds << "  " << name << "\n";
    seconds += e.seconds;
  }
  out << kernels.size() << " kernels in the sources, " << seconds << " s in all\n";
  return out.str();
}

}  // namespace polyphony::cuda_shim
