// SPDX-License-Identifier: Apache-2.0
// What a user can ask for, as plain values, and the Session that answers: the one core of command line, window and
// batch. Standard library only: front ends never see LibTorch.
#pragma once
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/error.h"

namespace polyphony::pipelines {

inline constexpr std::string_view kGenerateSchema = "polyphony.generate/1";
inline constexpr std::string_view kCaptionSchema = "polyphony.caption/1";
inline constexpr int64_t kMaxSteps = 1000;     // denoising steps
inline constexpr double kMaxGuidance = 100.0;  // classifier-free guidance scale
inline constexpr int64_t kMaxCount = 1000;     // pictures of one request
inline constexpr int64_t kMaxCaptionTokens = 4096;
inline constexpr size_t kMaxPromptBytes = 1u << 20;

// Rows from top to bottom, RGB order, 0..255, 3 * width * height bytes.
struct RgbImage {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels = {};
  bool operator==(const RgbImage&) const = default;
};

// Text or class to picture. What is left out is the model's own default; the result says what was used.
struct GenerateRequest {
  std::string prompt = {};              // UTF-8, for models that draw from text; without words they draw anything
  std::string class_label = {};         // for models that draw classes: a number, or a name that the model knows
  std::string sampler = {};             // euler, ddpm, ddim or dpm++; empty: the model's own
  std::optional<int64_t> steps = {};    // denoising steps, 1..kMaxSteps
  std::optional<double> guidance = {};  // classifier-free guidance scale, 0..kMaxGuidance; 1 is no guidance
  std::optional<uint64_t> seed =
      {};             // of the first picture; picture i has seed + i. Left out: drawn at random and shown
  int64_t count = 1;  // pictures, 1..kMaxCount
  // Never in the JSON form:
  bool record_routing = false;  // keep which experts every patch of every step went to
  bool every_preview = false;   // a preview at each step, however long decoding takes
  bool operator==(const GenerateRequest&) const = default;
};

// Picture to text. Exactly one of file and image.
struct CaptionRequest {
  std::string file = {};                   // path of a local picture file
  std::optional<RgbImage> image = {};      // or pixels; never in the JSON form
  std::optional<int64_t> max_tokens = {};  // longest caption, 1..kMaxCaptionTokens
  bool operator==(const CaptionRequest&) const = default;
};

using Request = std::variant<GenerateRequest, CaptionRequest>;

struct Picture {
  RgbImage image = {};
  uint64_t seed = 0;
  std::string parameters_json =
      {};  // a GenerateRequest of count 1 that repeats this very picture, with "model" beside it
};

// Numbers in C order.
struct Array {
  std::vector<int64_t> shape = {};
  std::vector<float> values = {};
};

// Which experts each patch went to while a picture was drawn; of the conditional pass, steps in order of execution.
struct RoutingRecord {
  std::vector<int64_t> shape = {};       // step, layer, image, patch, choice
  std::vector<int64_t> expert_ids = {};  // in C order
  std::vector<float> expert_weights = {};
  std::vector<float> timesteps = {};  // one a step, as the model was given it
};

struct GenerateResult {
  std::vector<Picture> pictures = {};  // same bytes alone or among others, for any number of threads
  Array latents = {};                  // (picture, channel, row, column), scaled; empty for models that keep none
  RoutingRecord routing = {};          // empty unless it was asked for
  GenerateRequest used = {};           // the request with every default and the seed filled in
  double seconds = 0;                  // without loading the model
  double seconds_per_step = 0;
  std::string model = {};                  // name and fingerprint of the weights, e.g. "polyphony-scenes 3fa9c1d2"
  std::string device = {};                 // "cpu", "cuda:0"
  std::string dtype = {};                  // "float32", "bfloat16"
  std::vector<std::string> warnings = {};  // e.g. a word of the prompt that the model does not know
};

struct CaptionResult {
  std::string text = {};
  double confidence = 0;  // how well the picture is what the model would draw for the caption, 0..1
  int64_t tokens = 0;
  double seconds = 0;
  std::string model = {};
  std::string device = {};
  std::string dtype = {};
  std::string file = {};  // as in the request
  RgbImage picture = {};  // the decoded input; not in the JSON form
  std::vector<std::string> warnings = {};
};

// What an opened model is, for a front end to show and to preset its controls.
struct ModelDescription {
  std::string name = {};
  std::string folder = {};
  std::string model_type = {};  // config.json's key
  int64_t parameters_total = 0;
  int64_t parameters_active = 0;  // that one token passes through
  std::string device = {};
  std::string dtype = {};
  int64_t picture_width = 0;  // pixels of a generated picture; 0: the model has no decoder and gives latents
  int64_t picture_height = 0;
  int64_t default_steps = 0;
  double default_guidance = 0;
  bool can_generate = false;
  bool can_caption = false;
  std::string example_prompt = {};              // one that the model understands; empty for a model of classes
  int64_t num_classes = 0;                      // that can be drawn; 0 for a model of texts
  std::map<int64_t, std::string> classes = {};  // their names, synonyms separated by commas; may be incomplete
};

struct Progress {
  std::string task = {};  // "load", "generate", "caption"
  int64_t done = 0;
  int64_t total = 0;
  std::optional<RgbImage> preview = {};  // the predicted clean picture so far; for caption, the decoded input
};

// Called on the thread that made the request, at least once a denoising step and a caption token. False: stop.
using OnProgress = std::function<bool(const Progress&)>;

// One opened model. Runs one request at a time; every call may come from another thread, but not two at once.
// A call that on_progress stopped returns nothing and leaves the session ready for the next request.
// Throws only polyphony::Error and std::bad_alloc: LibTorch's errors are translated inside.
class Session {
 public:
  virtual ~Session() = default;
  virtual std::optional<GenerateResult> generate(const GenerateRequest& request, const OnProgress& on_progress) = 0;
  virtual std::optional<CaptionResult> caption(const CaptionRequest& request, const OnProgress& on_progress) = 0;
  virtual ModelDescription describe() const = 0;
};

struct SessionOptions {
  std::string model_folder = {};  // empty: default_model_folder()
  std::string device = "auto";    // auto | cpu | cuda | cuda:N
  std::string dtype = "auto";     // auto | float32 | bfloat16
  int64_t threads = 0;            // 0: as many as the process may use
};

// Throws DataError (folder), DeviceError, MemoryError.
std::unique_ptr<Session> open_session(const SessionOptions& options);

// $POLYPHONY_MODEL, or the model that ships: beside the build tree or the installed program.
std::string default_model_folder();

// Throws UsageError naming the field and its range.
void check_request(const GenerateRequest& request);
void check_request(const CaptionRequest& request);
// Below 2^32, so that every front end can show and take it.
uint64_t random_seed();

// The request as one JSON object with its "schema"; the same text whichever front end built it.
std::string to_json(const GenerateRequest& request);
std::string to_json(const CaptionRequest& request);
// Results without pixels, for --json and batch. File names are the caller's to add.
std::string to_json(const GenerateResult& result);
std::string to_json(const CaptionResult& result);
std::string to_json(const ModelDescription& description);
// The parameters of one picture; "model" and "class_name" are for people: request_from_json passes over them.
std::string parameters_json(const GenerateRequest& used, uint64_t picture_seed, const std::string& model,
                            const std::string& class_name = {});

// Reads either kind; without "schema" the key "prompt" or "file" decides. Unknown and repeated keys are refused.
// Throws DataError naming the key, UsageError for a value out of range.
Request request_from_json(std::string_view text);

struct SaveOptions {
  std::string file = {};
  bool overwrite = false;
};
// PNG of the pixels alone.
std::string encode_png(const RgbImage& image);
// PNG with a `parameters` text for other programs and our own versioned iTXt `polyphony`; no time and no path in it.
// Written whole or not at all. Throws UsageError if the file exists and overwrite is false, Error with errno.
std::string encode_picture(const Picture& picture);
void save_picture(const Picture& picture, const SaveOptions& options);
// The request that drew a PNG of ours. Throws DataError if the file holds none.
GenerateRequest request_from_picture(const std::string& file);

// An error as every front end shows it.
struct ErrorReport {
  ExitCode exit_code = ExitCode::failure;
  std::string code =
      {};  // "usage", "config", "data", "shape", "device", "memory", "non_finite", "cancelled", "failure"
  std::string message = {};  // what()
  std::string hint = {};     // what to try; may be empty
};
ErrorReport report_error(const std::exception_ptr& error);

}  // namespace polyphony::pipelines
