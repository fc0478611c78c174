// SPDX-License-Identifier: Apache-2.0
// The C interface between Polyphony and the shared library that holds SentencePiece: plain data and function pointers
// only, so that no C++ object and no exception crosses it.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

// Receives bytes; called any number of times before the function that was given it returns.
struct PolyphonySpSink {
  void* context;
  void (*write)(void* context, const void* bytes, size_t size);
};

struct PolyphonySpText {
  const char* bytes;
  size_t size;
};

struct PolyphonySpModel;  // opaque

// All functions that return int return 1 for success; otherwise 0, after writing a message (UTF-8 text) to `error`.
struct PolyphonySpApi {
  PolyphonySpModel* (*load)(PolyphonySpText model_bytes, PolyphonySpSink error);  // null on failure
  void (*destroy)(PolyphonySpModel* model);
  // Writes int32 ids.
  int (*encode)(const PolyphonySpModel* model, PolyphonySpText text, PolyphonySpSink ids, PolyphonySpSink error);
  // ids must be inside the vocabulary. Writes UTF-8 text.
  int (*decode)(const PolyphonySpModel* model, const int32_t* ids, size_t count, PolyphonySpSink text,
                PolyphonySpSink error);
  // options: key, value, key, value, ... as of spm_train. Writes the bytes of a model.
  int (*train)(const PolyphonySpText* sentences, size_t num_sentences, const PolyphonySpText* options,
               size_t num_options, PolyphonySpSink model_bytes, PolyphonySpSink error);
};

// The one symbol that the shared library exports.
const PolyphonySpApi* polyphony_sentencepiece_api();
using PolyphonySpGetApi = const PolyphonySpApi* (*)();

}  // extern "C"
