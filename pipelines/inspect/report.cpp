// SPDX-License-Identifier: Apache-2.0
// An inspection as JSON and as lines for people.
#include <array>

#include "core/base/text.h"
#include "pipelines/inspect/inspect.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr std::array<const char*, 4> kKindNames{"model", "pipeline", "weights", "picture"};

const char* name_of(InspectedKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

nlohmann::json object_of(const Inspection& in) {
  nlohmann::json out{{"path", in.path}, {"kind", name_of(in.kind)}, {"architecture", in.architecture}};
  out["warnings"] = in.warnings;
  if (in.kind == InspectedKind::picture) {
    out["width"] = in.width;
    out["height"] = in.height;
    out["parameters"] = in.parameters;
    out["request"] = in.parameters_json.empty() ? nlohmann::json() : parse_json(in.parameters_json, "picture");
    return out;
  }
  auto dtypes = nlohmann::json::array();
  for (const auto& share : in.dtypes)
    dtypes.push_back({{"dtype", share.dtype}, {"tensors", share.tensors}, {"parameters", share.parameters}});
  out["files"] = in.files;
  out["tensors"] = in.tensors;
  out["parameters_total"] = in.parameters_total;
  out["parameters_active"] = in.parameters_active;
  out["memory_bytes"] = in.memory_bytes;
  out["non_finite"] = in.non_finite;
  out["dtypes"] = dtypes;
  if (in.parts.empty()) return out;
  out["parts"] = nlohmann::json::array();
  for (const auto& part : in.parts) out["parts"].push_back(object_of(part));
  return out;
}

std::string dtypes_of(const Inspection& in) {
  std::string text;
  for (const auto& share : in.dtypes)
    text += (text.empty() ? "" : ", ") + share.dtype + " (" + human_count(static_cast<double>(share.parameters)) + ")";
  return text;
}

void add_lines(const Inspection& in, const std::string& indent, std::string& out) {
  const auto line = [&](const std::string& name, const std::string& value) {
    out += indent + name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + value + "\n";
  };
  line(name_of(in.kind), in.path);
  if (!in.architecture.empty()) line("architecture", printable(in.architecture));
  if (in.kind == InspectedKind::picture) {
    line("size", std::to_string(in.width) + " x " + std::to_string(in.height) + " pixels");
    line("parameters", in.parameters_json.empty() && in.parameters.empty() ? "none"
                       : in.parameters_json.empty()                        ? printable(in.parameters, 2000)
                                                                           : printable(in.parameters_json, 2000));
  } else {
    line("parameters", human_count(static_cast<double>(in.parameters_total)) + " total, " +
                           human_count(static_cast<double>(in.parameters_active)) + " active (" +
                           std::to_string(in.parameters_total) + ", " + std::to_string(in.parameters_active) + ")");
    if (!in.dtypes.empty()) line("dtype", dtypes_of(in));
    line("memory", human_bytes(in.memory_bytes) + " for the weights");
    line("checked",
         std::to_string(in.tensors) + " tensors in " + std::to_string(in.files) + " files, " +
             (in.non_finite == 0 ? "all values finite" : std::to_string(in.non_finite) + " values NaN or infinite"));
  }
  for (const auto& warning : in.warnings) line("warning", printable(warning, 400));
  for (const auto& part : in.parts) {
    out += "\n";
    add_lines(part, indent + "  ", out);
  }
}

}  // namespace

std::string to_json(const Inspection& inspection) {
  auto out = object_of(inspection);
  out["schema"] = "polyphony.inspect/1";
  return dump_json(out);
}

std::string to_text(const Inspection& inspection) {
  std::string out;
  add_lines(inspection, "", out);
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace polyphony::pipelines
