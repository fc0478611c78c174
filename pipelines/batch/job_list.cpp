// SPDX-License-Identifier: Apache-2.0
// Each line is judged alone, so that one bad line costs one item.
#include "pipelines/batch/job_list.h"

#include <set>

#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"

namespace polyphony::pipelines {
namespace {

constexpr uint64_t kMaxJobsBytes = 256u << 20;
constexpr size_t kMaxIdBytes = 100;  // leaves room for "-1000.png" in a file name

std::string request_text(const Request& request) {
  return std::visit([](const auto& value) { return to_json(value); }, request);
}

std::string take_id(nlohmann::json& line, std::set<std::string>& used) {
  const auto it = line.find("id");
  check<DataError>(it->is_string() || it->is_number_unsigned(), "[job] 'id' must be a string or a number from 0");
  const auto id = it->is_string() ? it->get<std::string>() : dump_json(*it);
  line.erase(it);
  const bool plain =
      is_plain_file_name(id) && id.front() != '.' && id.front() != '#' && id.size() <= kMaxIdBytes && is_utf8(id);
  check<DataError>(plain, "[job] 'id' must be a plain file name of at most ", kMaxIdBytes, " bytes, got '",
                   printable(id, 60), "'");
  check<DataError>(used.insert(id).second, "[job] the id '", printable(id, 60), "' is used by an earlier line");
  return id;
}

void read_line(std::string_view text, std::set<std::string>& used, Job& job) {
  auto line = parse_json(text, "job");
  check<DataError>(line.is_object(), "[job] expected a JSON object, got ", line.type_name());
  if (line.contains("id")) {
    job.id = take_id(line, used);
  } else {
    const auto id = "item-" + std::to_string(job.line);
    check<DataError>(used.insert(id).second, "[job] the id '", id, "' is used by an earlier line");
    job.id = id;
  }
  job.request = request_from_json(dump_json(line));
  job.request_json = request_text(*job.request);
}

}  // namespace

std::vector<Job> read_jobs(const std::string& file) {
  const auto bytes = read_file(file, kMaxJobsBytes);
  std::vector<Job> jobs;
  std::set<std::string> used;
  int64_t number = 0;
  for (std::string_view rest = bytes; !rest.empty();) {
    const auto end = rest.find('\n');
    const auto text = trim(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++number;
    if (text.empty()) continue;
    Job job{.line = number,
            .id = "#" + std::to_string(number),
            .request = {},
            .request_json = std::string(text),
            .digest = {},
            .error = {}};
    try {
      read_line(text, used, job);
    } catch (const std::exception&) {
      job.request.reset();
      job.error = report_error(std::current_exception());
    }
    job.digest = sha256_hex(as_byte_span(job.request_json));
    jobs.push_back(std::move(job));
  }
  check<DataError>(!jobs.empty(), "[batch] '", printable(file), "' holds no request");
  return jobs;
}

}  // namespace polyphony::pipelines
