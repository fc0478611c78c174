# SPDX-License-Identifier: Apache-2.0
# The fuzz targets, read by the tests and by the sub-project that compiles them. One row a target: its name (source
# <name>_fuzz.cpp, seeds corpus/<name>/), the longest input in bytes, and its dictionary file or "none".
set(POLYPHONY_FUZZ_TARGETS
  "safetensors|65536|json.dict"
  "safetensors_index|16384|json.dict"
  "png_text|65536|png.dict"
  "image_header|65536|png.dict"
  "sentencepiece_model|8192|none"
  "tokenizer_json|16384|json.dict"
  "config|4096|toml.dict"
  "event_file|16384|none"
  "torch_file|16384|none"
)
