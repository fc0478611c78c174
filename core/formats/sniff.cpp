// SPDX-License-Identifier: Apache-2.0
// Magic bytes of the files that are most often mistaken for weights.
#include "core/formats/sniff.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "core/base/files.h"

namespace polyphony::formats {
namespace {

using std::string_view_literals::operator""sv;

struct Magic {
  std::string_view bytes;
  std::string_view meaning;
};

constexpr std::array kMagics = {
    Magic{"PK\x03\x04"sv, "a zip archive, such as a PyTorch .pt file: polyphony convert makes safetensors of it"},
    Magic{"PK\x05\x06"sv, "an empty zip archive"},
    Magic{"\x80\x02"sv, "a Python pickle, which can run code when loaded: polyphony convert reads it safely"},
    Magic{"\x80\x03"sv, "a Python pickle, which can run code when loaded: polyphony convert reads it safely"},
    Magic{"\x80\x04"sv, "a Python pickle, which can run code when loaded: polyphony convert reads it safely"},
    Magic{"\x80\x05"sv, "a Python pickle, which can run code when loaded: polyphony convert reads it safely"},
    Magic{"GGUF"sv, "a GGUF file of llama.cpp: fetch the safetensors version of the model"},
    Magic{"version https://git-lfs"sv, "a Git LFS pointer, not the weights: run `git lfs pull`"},
    Magic{"\x89HDF\r\n"sv, "an HDF5 file (Keras weights): convert it to safetensors first"},
    Magic{"\x93NUMPY"sv, "a NumPy array file"},
    Magic{"\x1f\x8b"sv, "gzip-compressed: unpack it first"},
    Magic{"\x28\xb5\x2f\xfd"sv, "zstd-compressed: unpack it first"},
    Magic{"\x89PNG"sv, "a PNG image"},
    Magic{"\xff\xd8\xff"sv, "a JPEG image"},
    Magic{"RIFF"sv, "a RIFF file (WAV, AVI or WebP)"},
    Magic{"%PDF"sv, "a PDF document"},
    Magic{"\x7f"
          "ELF"sv,
          "a program or shared library"},
};

bool looks_like_html(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return false;
  std::string lower(text.substr(start, 16));
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.starts_with("<?xml");
}

}  // namespace

std::string describe_foreign(std::span<const std::byte> first_bytes) {
  const std::string_view text = as_text(first_bytes.first(std::min(first_bytes.size(), kSniffBytes)));
  for (const Magic& magic : kMagics) {
    if (text.starts_with(magic.bytes)) return std::string(magic.meaning);
  }
  if (looks_like_html(text)) return "a web page, perhaps an error page saved by a download: fetch the file again";
  return {};
}

}  // namespace polyphony::formats
