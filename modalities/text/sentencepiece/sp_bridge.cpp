// SPDX-License-Identifier: Apache-2.0
// The inside of the shared library: SentencePiece behind the C interface of sp_bridge.h.
#include "modalities/text/sentencepiece/sp_bridge.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <exception>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

namespace sentencepiece::logging {
// Exported by the library, declared in none of its installed headers.
void SetMinLogLevel(int level);
}  // namespace sentencepiece::logging

struct PolyphonySpModel {
  sentencepiece::SentencePieceProcessor processor;
};

namespace {

constexpr int kFatalOnly = 3;

std::string_view view(PolyphonySpText text) { return {text.bytes, text.size}; }
void write(PolyphonySpSink sink, std::string_view bytes) { sink.write(sink.context, bytes.data(), bytes.size()); }

// Runs `work`, which returns a Status, and turns every failure into a message.
template <class Work>
int guarded(PolyphonySpSink error, Work work) {
  try {
    const sentencepiece::util::Status status = work();
    if (status.ok()) return 1;
    write(error, status.ToString());
  } catch (const std::exception& exception) {
    write(error, exception.what());
  }
  return 0;
}

PolyphonySpModel* load(PolyphonySpText bytes, PolyphonySpSink error) {
  auto model = std::unique_ptr<PolyphonySpModel>(new (std::nothrow) PolyphonySpModel);
  if (!model) {
    write(error, "out of memory");
    return nullptr;
  }
  return guarded(error, [&] { return model->processor.LoadFromSerializedProto(view(bytes)); }) ? model.release()
                                                                                               : nullptr;
}

void destroy(PolyphonySpModel* model) { delete model; }

int encode(const PolyphonySpModel* model, PolyphonySpText text, PolyphonySpSink out, PolyphonySpSink error) {
  return guarded(error, [&] {
    std::vector<int> ids;
    const auto status = model->processor.Encode(view(text), &ids);
    static_assert(sizeof(int) == sizeof(int32_t));
    if (status.ok()) out.write(out.context, ids.data(), ids.size() * sizeof(int32_t));
    return status;
  });
}

int decode(const PolyphonySpModel* model, const int32_t* ids, size_t count, PolyphonySpSink out,
           PolyphonySpSink error) {
  return guarded(error, [&] {
    std::string text;
    const auto status = model->processor.Decode(std::vector<int>(ids, ids + count), &text);
    if (status.ok()) write(out, text);
    return status;
  });
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(const PolyphonySpText* sentences, size_t count) : sentences_(sentences), count_(count) { copy(); }
  bool done() const override { return next_ == count_; }
  void Next() override {
    ++next_;
    copy();
  }
  const std::string& value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void copy() {
    if (next_ < count_) value_.assign(view(sentences_[next_]));
  }
  const PolyphonySpText* sentences_;
  size_t count_;
  size_t next_ = 0;
  std::string value_;
};

int train(const PolyphonySpText* sentences, size_t num_sentences, const PolyphonySpText* options, size_t num_options,
          PolyphonySpSink model_bytes, PolyphonySpSink error) {
  return guarded(error, [&] {
    std::unordered_map<std::string, std::string> arguments;
    for (size_t i = 0; i + 1 < num_options; i += 2) arguments.emplace(view(options[i]), view(options[i + 1]));
    Sentences iterator(sentences, num_sentences);
    std::string bytes;
    const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &bytes);
    if (status.ok()) write(model_bytes, bytes);
    return status;
  });
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const PolyphonySpApi* polyphony_sentencepiece_api() {
  static const PolyphonySpApi api = [] {
    sentencepiece::logging::SetMinLogLevel(kFatalOnly);
    return PolyphonySpApi{load, destroy, encode, decode, train};
  }();
  return &api;
}
