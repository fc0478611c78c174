// SPDX-License-Identifier: Apache-2.0
// The JSON form of requests, the same for every front end, and the ranges of their fields.
#include <cmath>
#include <random>

#include "core/base/text.h"
#include "core/check.h"
#include "pipelines/requests/object_reader.h"
#include "pipelines/session.h"

namespace polyphony::pipelines {
namespace {

constexpr size_t kMaxClassBytes = 1000;

nlohmann::json generate_object(const GenerateRequest& request) {
  nlohmann::json object{{"schema", kGenerateSchema}, {"count", request.count}};
  if (const auto id = parse_integer(request.class_label)) {
    object["class"] = *id;
  } else if (!request.class_label.empty()) {
    object["class"] = request.class_label;
  } else {
    object["prompt"] = request.prompt;
  }
  if (!request.sampler.empty()) object["sampler"] = request.sampler;
  if (request.steps) object["steps"] = *request.steps;
  if (request.guidance) object["guidance"] = *request.guidance;
  if (request.seed) object["seed"] = *request.seed;
  return object;
}

GenerateRequest read_generate(ObjectReader& reader) {
  GenerateRequest request;
  const auto prompt = reader.text("prompt");
  request.class_label = reader.text_or_integer("class").value_or("");
  check<DataError>(prompt.has_value() || !request.class_label.empty(),
                   "[generate request] 'prompt' is missing (or 'class', for models of classes)");
  request.prompt = prompt.value_or("");
  request.sampler = reader.text("sampler").value_or("");
  request.steps = reader.integer("steps");
  request.guidance = reader.number("guidance");
  request.seed = reader.natural("seed");
  request.count = reader.integer("count").value_or(1);
  return request;
}

CaptionRequest read_caption(ObjectReader& reader) {
  CaptionRequest request;
  const auto file = reader.text("file");
  check<DataError>(file.has_value(), "[caption request] 'file' is missing");
  request.file = *file;
  request.max_tokens = reader.integer("max_tokens");
  return request;
}

template <class T>
void check_range(const char* field, T value, T low, T high) {
  check<UsageError>(value >= low && value <= high, "[", field, "] expected a value from ", low, " to ", high, ", got ",
                    value);
}

}  // namespace

void check_request(const GenerateRequest& request) {
  check<UsageError>(is_utf8(request.prompt), "[prompt] expected UTF-8, got '", printable(request.prompt, 60), "'");
  check<UsageError>(request.prompt.find('\0') == std::string::npos, "[prompt] expected text without NUL characters");
  check<UsageError>(request.prompt.size() <= kMaxPromptBytes, "[prompt] expected at most ", kMaxPromptBytes,
                    " bytes, got ", request.prompt.size());
  check<UsageError>(request.class_label.empty() || request.prompt.empty(),
                    "[generate] expected either a prompt or a class, got both");
  check<UsageError>(is_utf8(request.class_label) && request.class_label.size() <= kMaxClassBytes,
                    "[class] expected a number or a name of at most ", kMaxClassBytes, " bytes, got '",
                    printable(request.class_label, 60), "'");
  if (request.steps) check_range<int64_t>("steps", *request.steps, 1, kMaxSteps);
  if (request.guidance) {
    check<UsageError>(std::isfinite(*request.guidance), "[guidance] expected a finite number");
    check_range<double>("guidance", *request.guidance, 0, kMaxGuidance);
  }
  check_range<int64_t>("count", request.count, 1, kMaxCount);
}

void check_request(const CaptionRequest& request) {
  check<UsageError>(request.file.empty() == request.image.has_value(), "[caption] expected either a file or pixels");
  check<UsageError>(request.file.find("://") == std::string::npos,
                    "[caption] expected a local file name, got the address '", printable(request.file), "'");
  if (request.max_tokens) check_range<int64_t>("max_tokens", *request.max_tokens, 1, kMaxCaptionTokens);
}

uint64_t random_seed() { return std::random_device{}() & 0xffffffffu; }

std::string to_json(const GenerateRequest& request) { return dump_json(generate_object(request)); }

std::string to_json(const CaptionRequest& request) {
  nlohmann::json object{{"schema", kCaptionSchema}, {"file", request.file}};
  if (request.max_tokens) object["max_tokens"] = *request.max_tokens;
  return dump_json(object);
}

std::string parameters_json(const GenerateRequest& used, uint64_t picture_seed, const std::string& model,
                            const std::string& class_name) {
  auto object = generate_object(used);
  object["count"] = 1;
  object["seed"] = picture_seed;
  object["model"] = model;
  if (!class_name.empty()) object["class_name"] = class_name;
  return dump_json(object);
}

Request request_from_json(std::string_view text) {
  const auto json = parse_json(text, "request");
  ObjectReader reader(json, "request");
  auto schema = reader.text("schema");
  if (!schema && (reader.has("prompt") || reader.has("class"))) schema = kGenerateSchema;
  if (!schema && reader.has("file")) schema = kCaptionSchema;
  check<DataError>(schema.has_value(), "[request] expected 'schema', 'prompt', 'class' or 'file', got none of them");
  for (const char* key : {"model", "class_name"}) reader.ignore(key);  // for who reads a picture's parameters
  if (*schema == kGenerateSchema) {
    auto request = read_generate(reader);
    reader.finish();
    check_request(request);
    return request;
  }
  check<DataError>(*schema == kCaptionSchema, "[request] expected 'schema' to be '", kGenerateSchema, "' or '",
                   kCaptionSchema, "', got '", printable(*schema, 60), "'");
  auto request = read_caption(reader);
  reader.finish();
  check_request(request);
  return request;
}

}  // namespace polyphony::pipelines
