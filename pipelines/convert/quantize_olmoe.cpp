// SPDX-License-Identifier: Apache-2.0
#include "pipelines/convert/quantize_olmoe.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/memory.h"
#include "core/base/text.h"
#include "core/check.h"
#include "core/ops/rms_norm/rms_norm.h"
#include "core/rng.h"
#include "core/tensor_shards.h"
#include "pipelines/convert/planned_folder.h"
#include "pipelines/olmoe/folder.h"
#include "pipelines/olmoe/published.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/torch_errors.h"

namespace polyphony::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kTokens = 256;  // of the random text that errors are measured on
constexpr uint64_t kSeed = 1;
constexpr auto kCopied = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                          "generation_config.json"};

// Mean and largest error of the matrices of each kind.
class Errors {
 public:
  void add(const std::string& kind, const at::Tensor& exact, const ops::QuantizedMatrices& quantized) {
    const auto difference = ops::dequantize_matrices(quantized).reshape_as(exact) - exact;
    const double error = (difference.norm() / exact.norm().clamp_min(1e-30)).item<double>();
    auto& row = rows_[kind];
    row.sum += error;
    row.largest = std::max(row.largest, error);
    ++row.count;
  }
  std::vector<QuantizedKind> kinds() const {
    std::vector<QuantizedKind> out;
    for (const auto& [name, row] : rows_) out.push_back({name, row.sum / static_cast<double>(row.count), row.largest});
    return out;
  }

 private:
  struct Row {
    double sum = 0, largest = 0;
    int64_t count = 0;
  };
  std::map<std::string, Row> rows_;
};

// One text on its way through the layers, which come one after another.
struct Stream {
  std::optional<ops::WeightFormat> format;  // of the weights; nothing: plain f32
  at::Tensor x_TD = {};

  void pass(const OlmoeConfig& config, OlmoeLayer layer) {
    to_state(layer, format);
    nn::KvCache cache;
    x_TD = forward_layer(config, layer, format ? at::kBFloat16 : at::kFloat, x_TD, olmoe_rope(config, 0, x_TD.size(0)),
                         cache);
  }
  at::Tensor logits(const OlmoeModel& ends, nn::Weights head) const {
    to_state(head, format, /*bank=*/false);
    return nn::product(ops::rms_norm(x_TD, ends.norm_D, ends.config.rms_norm_eps), head).to(at::kDouble);
  }
};

double divergence(const at::Tensor& exact_TV, const at::Tensor& actual_TV) {
  const auto p = exact_TV.log_softmax(1), q = actual_TV.log_softmax(1);
  return (p.exp() * (p - q)).sum(1).mean().item<double>();
}

double relative(const at::Tensor& exact, const at::Tensor& actual) {
  return ((actual - exact).norm() / exact.norm()).item<double>();
}

class Quantizer {
 public:
  Quantizer(const OlmoeReader& reader, ops::WeightFormat format) : reader_(reader), format_(format) {
    config_ = reader.config();
    config_.quantization = OlmoeQuantization{.format = format};
    quantized_.format = format;
  }

  QuantizeReport run(const fs::path& folder, const OnProgress& on_progress) {
    const auto ends = reader_.ends(at::kFloat);
    begin(ends);
    ShardWriter shards(folder, config_.num_hidden_layers + 1);
    for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
      check<CancelledError>(
          !on_progress || on_progress({.task = "quantize", .done = i, .total = config_.num_hidden_layers}),
          "[convert] stopped by a signal; no folder was written");
      auto layer = reader_.layer(i, at::kFloat);
      exact_.pass(config_, layer);
      bf16_.pass(config_, layer);
      for (auto* weights : {&layer.qkv, &layer.out}) quantize(*weights, "attention");
      for (auto* weights : {&layer.w13_E2FD, &layer.w2_EDF}) quantize(*weights, "experts");
      shards.add(published_layer(config_, layer, i));
      quantized_.pass(config_, std::move(layer));
    }
    finish(ends, shards);
    write_file_atomic(folder / "config.json", olmoe_config_json(config_));
    return std::move(report_);
  }

 private:
  void begin(const OlmoeModel& ends) {
    report_.tokens = std::min(kTokens, config_.max_position_embeddings);
    auto generator = make_generator(kSeed);
    const auto ids_T = at::randint(config_.vocab_size, {report_.tokens}, generator, at::kLong);
    for (auto* stream : {&exact_, &bf16_, &quantized_}) stream->x_TD = at::embedding(ends.embedding_VD, ids_T);
  }

  void quantize(nn::Weights& weights, const std::string& kind) {
    const auto exact = std::get<at::Tensor>(weights);
    auto quantized = ops::quantize_matrices(exact, format_, config_.quantization->group);
    errors_.add(kind, exact, quantized);
    weights = std::move(quantized);
  }

  void finish(const OlmoeModel& ends, ShardWriter& shards) {
    auto written = ends;
    written.embedding_VD = ends.embedding_VD.to(reader_.stored_dtype());
    const auto exact = exact_.logits(ends, ends.head_VD), bf16 = bf16_.logits(ends, ends.head_VD);
    quantize(written.head_VD, "head");
    const auto actual = quantized_.logits(ends, written.head_VD);
    shards.add(published_ends(written));
    shards.finish();
    report_.kinds = errors_.kinds();
    report_.logit_kl = divergence(exact, actual);
    report_.logit_error = relative(exact, actual);
    report_.bf16_kl = divergence(exact, bf16);
    report_.bf16_error = relative(exact, bf16);
  }

  const OlmoeReader& reader_;
  ops::WeightFormat format_;
  OlmoeConfig config_;
  Stream exact_ = {}, bf16_ = {.format = ops::WeightFormat::bf16}, quantized_ = {};
  Errors errors_;
  QuantizeReport report_;
};

std::string card(const QuantizeReport& r, const std::string& source) {
  std::string text =
      join("# ", source, " in ", r.format, "\n\nMade with `polyphony convert --quantize ", r.format,
           "` from weights of ", human_bytes(r.bytes_before), "; these take ", human_bytes(r.bytes_after),
           ". One scale (bf16) for 32 values of a row.\n\nAgainst the same weights in f32, on ", r.tokens,
           " random tokens:\n\n| | this folder | bf16 |\n|---|---|---|\n");
  char line[200];
  const auto row = [&](const char* name, double here, double bf16) {
    std::snprintf(line, sizeof(line), "| %s | %.3g | %.3g |\n", name, here, bf16);
    text += line;
  };
  row("KL of the next token, nats", r.logit_kl, r.bf16_kl);
  row("relative error of the logits (RMS)", r.logit_error, r.bf16_error);
  text += "\nRelative error of the weights (RMS):\n\n| matrices | mean | largest |\n|---|---|---|\n";
  for (const auto& kind : r.kinds) {
    std::snprintf(line, sizeof(line), "| %s | %.4f | %.4f |\n", kind.name.c_str(), kind.mean_error, kind.largest_error);
    text += line;
  }
  return text;
}

QuantizeReport quantize(const QuantizeOptions& options, const OnProgress& on_progress) {
  const c10::InferenceMode inference;
  const auto format = ops::weight_format(options.format);
  check<UsageError>(format && *format != ops::WeightFormat::bf16, "[quantize] expected int8 or int4, got '",
                    printable(options.format, 40), "'");
  const PlannedFolder output(options.output);
  const fs::path input = options.input;
  const OlmoeReader reader(input);
  check<DataError>(!reader.config().quantization, "[", options.input, "] expected weights of 16 or 32 bits, got ",
                   "quantised ones");
  // The ends, and of one layer: plain, packed in bf16, and quantised.
  const auto parameters = static_cast<uint64_t>(count_parameters(reader.config()).total);
  check_fits_memory(parameters / static_cast<uint64_t>(reader.config().num_hidden_layers) * 8, "convert", "quantising");
  auto report = Quantizer(reader, *format).run(output.temporary(), on_progress);
  report.output = options.output;
  report.format = options.format;
  report.bytes_before = reader.stored_bytes();
  report.notes = reader.warnings();
  for (const auto* name : kCopied)
    if (fs::exists(input / name)) fs::copy_file(input / name, output.temporary() / name);
  report.bytes_after = OlmoeReader(output.temporary()).stored_bytes();
  const auto whole = fs::absolute(input).lexically_normal();
  write_file_atomic(output.temporary() / "README.md",
                    card(report, (whole.has_filename() ? whole : whole.parent_path()).filename().string()));
  output.publish();
  return report;
}

}  // namespace

QuantizeReport quantize_olmoe(const QuantizeOptions& options, const OnProgress& on_progress) {
  return translate_torch_errors([&] { return quantize(options, on_progress); });
}

std::string to_json(const QuantizeReport& r) {
  auto kinds = nlohmann::json::array();
  for (const auto& kind : r.kinds)
    kinds.push_back({{"matrices", kind.name}, {"mean_error", kind.mean_error}, {"largest_error", kind.largest_error}});
  return dump_json({{"schema", "polyphony.quantize/1"},
                    {"output", r.output},
                    {"format", r.format},
                    {"bytes_before", r.bytes_before},
                    {"bytes_after", r.bytes_after},
                    {"weights", kinds},
                    {"tokens", r.tokens},
                    {"logit_kl", r.logit_kl},
                    {"logit_error", r.logit_error},
                    {"bf16_kl", r.bf16_kl},
                    {"bf16_error", r.bf16_error},
                    {"notes", r.notes}});
}

}  // namespace polyphony::pipelines
