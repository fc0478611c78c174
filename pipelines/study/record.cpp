// SPDX-License-Identifier: Apache-2.0
#include "pipelines/study/record.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/check.h"

namespace polyphony::pipelines {
namespace {

// Those whose name alone does not say what is counted.
constexpr std::pair<const char*, const char*> kLabels[] = {
    {"loss", "held-out loss"},
    {"loss_plain", "held-out loss of plain tokens, nats"},
    {"loss_easy", "held-out loss of easy tokens, nats"},
    {"loss_hard", "held-out loss of hard tokens, nats"},
    {"expert_calls", "computed experts a token"},
    {"calls_easy", "computed experts a token, easy tokens"},
    {"calls_hard", "computed experts a token, hard tokens"},
    {"max_load", "rows of the fullest expert, 1 is even"},
    {"active", "multiplications a token in experts"},
    {"accuracy", "share right, held out"},
    {"robust_accuracy", "share right under attack, held out"},
    {"flipped_pathways", "share of pictures that the attack moves to another pathway"},
    {"auc", "area under the ROC curve, held out"},
    {"auc_short", "area under the ROC curve, short histories"},
    {"error", "squared error over the variance, held out"},
    {"fall", "fall of the share right when one input more is missing"},
    {"first_experts", "experts a token in the first twentieth of the training"},
    {"gap", "divergence of two random passes, nats a token"},
    {"gates_alike", "likeness of gates, of a part and of the whole history"},
    {"hard_minus_easy", "experts a token, hard minus easy"},
    {"layer_information", "mutual information of the choices of two layers, nats"},
    {"logit_size", "squared log-sum of the gate's logits"},
    {"loss_3_over_8", "held-out loss with 3 experts over that with 8"},
    {"loss_of_8", "held-out loss with 8 experts, nats a token"},
    {"rows_sent", "share of the rows that are sent"},
};

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

std::map<uint64_t, double> values_of(const std::vector<StudyRunRecord>& runs, const std::string& arm,
                                     const std::string& metric) {
  std::map<uint64_t, double> values;
  for (const auto& run : runs) {
    if (run.arm != arm) continue;
    const auto found = run.metrics.find(metric);
    check<DataError>(found != run.metrics.end(), "[study] arm '", arm, "', seed ", run.seed, ", did not measure '",
                     metric, "'");
    values[run.seed] = found->second;
  }
  check<DataError>(!values.empty(), "[study] arm '", arm, "' has no runs");
  return values;
}

MeanAndSpread mean_and_spread(const std::map<uint64_t, double>& values) {
  MeanAndSpread out;
  const auto n = static_cast<double>(values.size());
  for (const auto& [seed, value] : values) out.mean += value / n;
  if (values.size() < 2) return out;
  double squares = 0;
  for (const auto& [seed, value] : values) squares += (value - out.mean) * (value - out.mean);
  out.spread = std::sqrt(squares / (n - 1));
  return out;
}

std::vector<std::string> shown_metrics(const StudyRecord& record) {
  std::vector<std::string> names;
  for (const auto& claim : record.study.claims) add_new(names, claim.metric);
  for (const char* always : {"loss", "active"})
    if (std::any_of(record.runs.begin(), record.runs.end(), [&](const auto& r) { return r.metrics.contains(always); }))
      add_new(names, always);
  return names;
}

std::string metric_label(const std::string& metric) {
  for (const auto& [name, label] : kLabels)
    if (metric == name) return label;
  auto words = metric;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string short_number(double value) {
  const bool whole = std::abs(value) >= 1000 && std::abs(value) < 1e15;
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value,
                                 whole ? std::chars_format::fixed : std::chars_format::general, whole ? 0 : 4)
                       .ptr;
  return {text, end};
}

std::string command_of(const StudyRecord& record) {
  return "polyphony study run " + record.study.name + (record.quick ? " --quick" : "");
}

double total_seconds(const StudyRecord& record) {
  double seconds = 0;
  for (const auto& run : record.runs) seconds += run.seconds;
  return seconds;
}

std::vector<std::string> machines_of(const StudyRecord& record) {
  std::vector<std::string> machines;
  for (const auto& run : record.runs) add_new(machines, run.machine);
  return machines;
}

}  // namespace polyphony::pipelines
