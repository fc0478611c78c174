// SPDX-License-Identifier: Apache-2.0
// The loop of a batch: what is done stays done, what fails is written down.
#include "pipelines/batch/batch.h"

#include <chrono>

#include "core/base/files.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/batch/job_list.h"
#include "pipelines/batch/journal.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

namespace fs = std::filesystem;
constexpr const char* kJournalName = ".polyphony-batch.jsonl";
constexpr const char* kLockName = ".polyphony-batch.lock";
constexpr const char* kResultsName = "results.jsonl";

// One item's result as a JSON object, and the files that it made.
struct Answer {
  nlohmann::json fields;
  std::vector<OutputFile> files;
};

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<Error>(!error && fs::is_directory(folder), "[batch] cannot make the folder '", printable(folder),
               "': ", error ? error.message() : "a file of that name is there");
}

void check_folder_is_free(const BatchOptions& options) {
  const auto folder = fs::path(options.output);
  if (options.resume) {
    check<UsageError>(fs::exists(folder / kJournalName), "[batch] --resume: '", printable(options.output),
                      "' holds no batch to resume");
    return;
  }
  bool empty = true;
  std::error_code absent;
  if (fs::is_directory(folder, absent))
    for (const auto& entry : fs::directory_iterator(folder)) empty = empty && entry.path().filename() == kLockName;
  check<UsageError>(empty || options.overwrite, "[batch] the folder '", printable(options.output),
                    "' is not empty: use --resume to go on with its batch or --overwrite to start anew");
}

bool still_there(const JournalEntry& entry, const fs::path& folder) {
  for (const auto& file : entry.files)
    if (!fs::exists(folder / file.name) || sha256_file(folder / file.name) != file.sha256) return false;
  return true;
}

std::optional<Answer> answer(Session& session, const GenerateRequest& request, const fs::path& stem,
                             const OnProgress& on_progress) {
  const auto result = session.generate(request, on_progress);
  if (!result) return std::nullopt;
  check<UsageError>(!result->pictures.empty(),
                    "[batch] the model has no autoencoder and gives latents, a batch writes pictures: use generate");
  Answer out;
  out.fields["result"] = nlohmann::json::parse(to_json(*result));
  auto& pictures = out.fields["result"]["pictures"];
  for (size_t i = 0; i < result->pictures.size(); ++i) {
    const auto number = result->pictures.size() > 1 ? "-" + std::to_string(i + 1) : "";
    const auto file = fs::path(stem.string() + number + ".png");
    save_picture(result->pictures[i], {.file = file.string(), .overwrite = true});
    out.files.push_back({file.filename().string(), sha256_file(file)});
    pictures[i]["file"] = out.files.back().name;
  }
  return out;
}

std::optional<Answer> answer(Session& session, const CaptionRequest& request, const fs::path&,
                             const OnProgress& on_progress) {
  const auto result = session.caption(request, on_progress);
  if (!result) return std::nullopt;
  Answer out;
  out.fields["result"] = nlohmann::json::parse(to_json(*result));
  return out;
}

nlohmann::json item_object(const Job& job, const char* state) {
  return {{"schema", kBatchSchema}, {"line", job.line}, {"id", job.id}, {"state", state}};
}

JournalEntry failed_entry(const Job& job, const ErrorReport& error) {
  auto object = item_object(job, "failed");
  object["error"] = {{"code", error.code}, {"message", error.message}};
  return {.id = job.id, .digest = job.digest, .done = false, .files = {}, .result_json = dump_json(object)};
}

// Nothing if the work was stopped.
std::optional<JournalEntry> run_item(const Job& job, Session& session, const fs::path& folder,
                                     const OnProgress& on_progress) {
  try {
    const auto got = std::visit(
        [&](const auto& request) { return answer(session, request, folder / job.id, on_progress); }, *job.request);
    if (!got) return std::nullopt;
    auto object = item_object(job, "done");
    object.update(got->fields);
    return JournalEntry{job.id, job.digest, true, got->files, dump_json(object)};
  } catch (const std::exception&) {
    return failed_entry(job, report_error(std::current_exception()));
  }
}

void write_results(const std::vector<Job>& jobs, const Journal& journal, const fs::path& file) {
  std::string text;
  for (const auto& job : jobs)
    if (const auto* entry = journal.find(job.id)) text += entry->result_json + "\n";
  write_file_atomic(file, std::string_view(text));
}

}  // namespace

BatchReport run_batch(const BatchOptions& options, const OpenSession& open, const OnBatchItem& on_item,
                      const OnProgress& on_progress) {
  const auto start = std::chrono::steady_clock::now();
  const auto jobs = read_jobs(options.jobs);
  const fs::path folder = options.output;
  check_folder_is_free(options);  // a refusal leaves nothing behind
  make_folder(options.output);
  const FolderLock lock(folder / kLockName);
  check_folder_is_free(options);  // another batch may have come first
  if (!options.resume) fs::remove(folder / kJournalName);
  Journal journal(folder / kJournalName);

  BatchReport report{.total = static_cast<int64_t>(jobs.size()), .results = (folder / kResultsName).string()};
  std::unique_ptr<Session> session;
  for (const auto& job : jobs) {
    if (const auto* entry = journal.find(job.id);
        entry && entry->done && entry->digest == job.digest && still_there(*entry, folder)) {
      ++report.skipped;
      on_item({job.line, job.id, ItemState::skipped, entry->result_json});
      continue;
    }
    std::optional<JournalEntry> entry;
    if (job.request) {
      if (!session) session = open();
      entry = run_item(job, *session, folder, on_progress);
    } else {
      entry = failed_entry(job, job.error);
    }
    report.stopped = !entry;
    if (report.stopped) break;
    journal.append(*entry);
    ++(entry->done ? report.done : report.failed);
    on_item({job.line, job.id, entry->done ? ItemState::done : ItemState::failed, entry->result_json});
    report.stopped = options.max_failures > 0 && report.failed >= options.max_failures;
    if (report.stopped) break;
  }
  write_results(jobs, journal, report.results);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string to_json(const BatchReport& report) {
  return dump_json({{"schema", kBatchSchema},
                    {"total", report.total},
                    {"done", report.done},
                    {"failed", report.failed},
                    {"skipped", report.skipped},
                    {"stopped", report.stopped},
                    {"seconds", report.seconds},
                    {"results", report.results}});
}

}  // namespace polyphony::pipelines
