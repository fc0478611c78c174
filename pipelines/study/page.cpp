// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/page.h"

#include <algorithm>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/study/figure.h"
#include "pipelines/study/judge.h"
#include "pipelines/study/results.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHead =
    "# Evidence\n\n"
    "What parts of the framework do to small models that are trained here, within minutes, against fair baselines. "
    "`polyphony study page` made\nthis page from the files in [evidence/](evidence); [studies.md](studies.md) says how "
    "to run them "
    "again.\n\n"
    "- Every claim and its rule stood before the runs. *Lower* and *higher*: the mean is, and all seeds but one agree. "
    "*Not worse*: the mean is\n  at most 0.5 % above.\n"
    "- All arms of a study see the same data in the same order, seed by seed. Settings were tuned on other seeds than "
    "those that are shown.\n"
    "- Claims that do not hold stay on the page.\n\n";

std::string cell(const std::string& words) {
  std::string out;
  for (const char c : words) out += c == '|' ? std::string("\\|") : c == '\n' ? std::string(" ") : std::string(1, c);
  return out;
}

std::string anchor(const std::string& study) { return "study-" + study; }

int64_t holding(const StudyRecord& record) {
  return std::count_if(record.study.claims.begin(), record.study.claims.end(),
                       [&](const auto& claim) { return judge(claim, record.runs).holds; });
}

std::string overview(const std::vector<StudyRecord>& records) {
  if (records.empty()) return "No study has been run yet.\n";
  std::string out = "| study | claims that hold | runs | time of one thread |\n|---|---|---|---|\n";
  for (const auto& record : records)
    out += join("| [", cell(record.study.title), "](#", anchor(record.study.name), ") | ", holding(record), " of ",
                record.study.claims.size(), " | ", record.runs.size(), " | ", human_duration(total_seconds(record)),
                " |\n");
  return out;
}

std::string comparison(const StudyClaim& claim, const ClaimVerdict& verdict) {
  const auto factor = claim.factor == 1.0 ? std::string() : short_number(claim.factor) + " times ";
  const auto other = claim.than.empty() ? std::string("the bound ") : factor + "*" + claim.than + "* ";
  const auto seeds = claim.rule == ClaimRule::not_worse
                         ? std::string()
                         : join("; ", verdict.agreeing, " of ", verdict.num_seeds, " seeds agree");
  return join(metric_label(claim.metric), ": *", claim.arm, "* ", short_number(verdict.value), ", ", other,
              short_number(verdict.against), seeds);
}

std::string claims(const StudyRecord& record) {
  std::string out;
  for (const auto& claim : record.study.claims) {
    const auto verdict = judge(claim, record.runs);
    out += join("- **", verdict.holds ? "Holds." : "Does not hold.", "** ", claim.text, " (",
                comparison(claim, verdict), ")\n");
  }
  return out;
}

std::string table(const StudyRecord& record) {
  const auto metrics = shown_metrics(record);
  std::string head = "| arm | what |", rule = "|---|---|";
  for (const auto& metric : metrics) {
    head += " " + cell(metric_label(metric)) + " |";
    rule += "---|";
  }
  std::string out = head + "\n" + rule + "\n";
  for (const auto& arm : record.study.arms) {
    out += "| " + cell(arm.name) + " | " + cell(arm.what) + " |";
    for (const auto& metric : metrics) {
      std::map<uint64_t, double> values;
      for (const auto& run : record.runs)
        if (const auto found = run.metrics.find(metric); run.arm == arm.name && found != run.metrics.end())
          values[run.seed] = found->second;
      const auto figures = mean_and_spread(values);
      out += values.empty() ? std::string(" |")
                            : join(" ", short_number(figures.mean), " ± ", short_number(figures.spread), " |");
    }
    out += "\n";
  }
  return out;
}

std::string section(const StudyRecord& record, const std::string& figures) {
  const auto& study = record.study;
  auto out = join("\n<a id=\"", anchor(study.name), "\"></a>\n## ", study.title, "\n\nSource: ", study.source,
                  ". What was run: ", study.setting, "\n\n", claims(record), "\n");
  if (!study.caveat.empty()) out += study.caveat + "\n\n";
  out += join("![", study.title, ": a dot for each seed, a line at the mean](", figures, "/", study.name, ".svg)\n\n",
              table(record), "\n");
  return out + join("Mean ± standard deviation over ", study.num_seeds, " seeds. `", command_of(record), "`, ",
                    human_duration(total_seconds(record)), " in all on ", join_names(machines_of(record)), " → [",
                    study.name, ".json](", figures, "/", study.name, ".json)\n");
}

}  // namespace

std::vector<StudyRecord> read_evidence(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder))
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<StudyRecord> records;
  for (const auto& file : files) records.push_back(read_record(file));
  return records;
}

std::string evidence_page(const std::vector<StudyRecord>& records, const std::string& figures) {
  std::string out = kHead + overview(records);
  for (const auto& record : records) out += section(record, figures);
  return out;
}

fs::path write_evidence_page(const fs::path& folder) {
  const auto records = read_evidence(folder);
  for (const auto& record : records) {
    check<DataError>(!record.quick, "[study] ", printable(record_file(folder, record.study.name).string(), 400),
                     " is of a quick run, which is no evidence");
    write_figure(folder, record);
  }
  auto name = folder.filename().empty() ? folder.parent_path() : folder;
  const auto page = name.parent_path() / (name.filename().string() + ".md");
  write_file_atomic(page, evidence_page(records, name.filename().string()));
  return page;
}

}  // namespace polyphony::pipelines
