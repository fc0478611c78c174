// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/study/judge.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;
constexpr const char* kRunSchema = "polyphony.study_run/1";
constexpr const char* kRecordSchema = "polyphony.study/1";
constexpr uint64_t kMaxBytes = 4u << 20;

void write_json(const fs::path& file, const json& value) {
  fs::create_directories(file.parent_path());
  write_file_atomic(file, dump_json(value, 1) + "\n");
}

// An object whose keys must be there.
class Fields {
 public:
  Fields(const json& object, const std::string& where) : where_(where), object_(object), reader_(object, where) {}

  std::string text(const std::string& key) { return required(key, reader_.text(key)); }
  double number(const std::string& key) { return required(key, reader_.number(key)); }
  uint64_t natural(const std::string& key) { return required(key, reader_.natural(key)); }
  bool flag(const std::string& key) { return required(key, reader_.flag(key)); }
  const json& list(const std::string& key) {
    reader_.ignore(key);
    const auto found = object_.find(key);
    check<DataError>(found != object_.end() && found->is_array(), "[", where_, "] '", key, "' must be a list");
    return *found;
  }
  StudyMetrics metrics(const std::string& key) {
    reader_.ignore(key);
    const auto found = object_.find(key);
    check<DataError>(found != object_.end() && found->is_object(), "[", where_, "] '", key, "' must be an object");
    StudyMetrics out;
    Fields values(*found, where_ + ": " + key);
    for (const auto& [name, value] : found->items()) out[name] = values.number(name);
    return out;
  }
  void schema(const std::string& expected) {
    const auto got = text("schema");
    check<DataError>(got == expected, "[", where_, "] expected schema ", expected, ", got '", printable(got), "'");
  }
  void finish(const std::vector<std::string>& ignored = {}) {
    for (const auto& key : ignored) reader_.ignore(key);
    reader_.finish();
  }

 private:
  template <class T>
  T required(const std::string& key, const std::optional<T>& value) const {
    check<DataError>(value.has_value(), "[", where_, "] '", key, "' is missing");
    return *value;
  }

  std::string where_;
  const json& object_;
  ObjectReader reader_;
};

json read_json(const fs::path& file) { return parse_json(read_file(file, kMaxBytes), printable(file.string(), 400)); }

json to_object(const StudyClaim& claim, const StudyRecord& record) {
  json out{{"text", claim.text}, {"metric", claim.metric},        {"arm", claim.arm},
           {"than", claim.than}, {"rule", to_string(claim.rule)}, {"factor", claim.factor}};
  if (record.quick) return out;
  const auto verdict = judge(claim, record.runs);
  out["verdict"] = {{"holds", verdict.holds},
                    {"value", verdict.value},
                    {"against", verdict.against},
                    {"agreeing_seeds", verdict.agreeing},
                    {"seeds", verdict.num_seeds}};
  return out;
}

}  // namespace

fs::path run_file(const fs::path& folder, const RunKey& key) {
  auto name = key.arm.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !(c < 128 && std::isalnum(c)) && c != '.' && c != '-'; },
      '_');
  return folder / key.study.name / (name + "-" + std::to_string(key.seed) + ".json");
}

void write_run(const fs::path& folder, const RunKey& key, const StudyRunRecord& run) {
  write_json(run_file(folder, key), {{"schema", kRunSchema},
                                     {"study", key.study.name},
                                     {"setting", key.study.setting},
                                     {"arm", key.arm.name},
                                     {"what", key.arm.what},
                                     {"seed", key.seed},
                                     {"quick", key.quick},
                                     {"seconds", run.seconds},
                                     {"machine", run.machine},
                                     {"metrics", run.metrics}});
}

std::optional<StudyRunRecord> ready_run(const fs::path& folder, const RunKey& key) {
  const auto file = run_file(folder, key);
  if (!fs::exists(file)) return std::nullopt;
  const auto value = read_json(file);
  Fields fields(value, printable(file.string(), 400));
  fields.schema(kRunSchema);
  const bool same = fields.text("study") == key.study.name && fields.text("setting") == key.study.setting &&
                    fields.text("arm") == key.arm.name && fields.text("what") == key.arm.what &&
                    fields.natural("seed") == key.seed && fields.flag("quick") == key.quick;
  if (!same) return std::nullopt;
  StudyRunRecord run{.arm = key.arm.name,
                     .seed = key.seed,
                     .metrics = fields.metrics("metrics"),
                     .seconds = fields.number("seconds"),
                     .machine = fields.text("machine")};
  fields.finish();
  return run;
}

fs::path record_file(const fs::path& folder, const std::string& study) { return folder / (study + ".json"); }

json to_object(const StudyRecord& record) {
  const auto& study = record.study;
  auto arms = json::array(), claims = json::array(), runs = json::array();
  for (const auto& arm : study.arms) arms.push_back({{"name", arm.name}, {"what", arm.what}});
  for (const auto& claim : study.claims) claims.push_back(to_object(claim, record));
  for (const auto& run : record.runs)
    runs.push_back({{"arm", run.arm},
                    {"seed", run.seed},
                    {"seconds", run.seconds},
                    {"machine", run.machine},
                    {"metrics", run.metrics}});
  return {{"schema", kRecordSchema},
          {"name", study.name},
          {"title", study.title},
          {"source", study.source},
          {"setting", study.setting},
          {"caveat", study.caveat},
          {"seeds", study.num_seeds},
          {"quick", record.quick},
          {"command", command_of(record)},
          {"machines", machines_of(record)},
          {"seconds", total_seconds(record)},
          {"arms", arms},
          {"claims", claims},
          {"runs", runs}};
}

void write_record(const fs::path& folder, const StudyRecord& record) {
  write_json(record_file(folder, record.study.name), to_object(record));
}

StudyRecord read_record(const fs::path& file) {
  const auto value = read_json(file);
  const auto where = printable(file.string(), 400);
  Fields fields(value, where);
  fields.schema(kRecordSchema);
  StudyRecord record{.study = {.name = fields.text("name"),
                               .title = fields.text("title"),
                               .source = fields.text("source"),
                               .setting = fields.text("setting"),
                               .caveat = fields.text("caveat"),
                               .num_seeds = static_cast<int64_t>(fields.natural("seeds"))},
                     .quick = fields.flag("quick")};
  for (const auto& item : fields.list("arms")) {
    Fields arm(item, where + ": arms");
    record.study.arms.push_back({.name = arm.text("name"), .what = arm.text("what"), .run = {}});
    arm.finish();
  }
  for (const auto& item : fields.list("claims")) {
    Fields claim(item, where + ": claims");
    record.study.claims.push_back({.text = claim.text("text"),
                                   .metric = claim.text("metric"),
                                   .arm = claim.text("arm"),
                                   .than = claim.text("than"),
                                   .rule = claim_rule_named(claim.text("rule")),
                                   .factor = claim.number("factor")});
    claim.finish({"verdict"});
  }
  for (const auto& item : fields.list("runs")) {
    Fields run(item, where + ": runs");
    record.runs.push_back({.arm = run.text("arm"),
                           .seed = run.natural("seed"),
                           .metrics = run.metrics("metrics"),
                           .seconds = run.number("seconds"),
                           .machine = run.text("machine")});
    run.finish();
  }
  fields.finish({"command", "machines", "seconds"});  // they follow from the runs
  return record;
}

}  // namespace polyphony::pipelines
