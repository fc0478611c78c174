// SPDX-License-Identifier: Apache-2.0
// Decoded frames of any rate, layout and sample format -> 16 kHz mono floats. Internal to modalities/audio.
#pragma once
#include <vector>

#include "modalities/audio/ffmpeg.h"

namespace polyphony::audio {

class Resampler {
 public:
  // Appends what the frame gives. A change of format between frames is handled. May overwrite the frame's samples.
  // Throws DataError for rates, layouts or formats that cannot be converted.
  void push(AVFrame& frame, std::vector<float>& out);
  // Appends what is still inside, at the end of the stream.
  void flush(std::vector<float>& out);

 private:
  void convert(const AVFrame* frame, std::vector<float>& out);
  bool fits(const AVFrame& frame) const;
  void reset(const AVFrame& frame);

  SwrPtr swr_;
  int rate_hz_ = 0;
  int channels_ = 0;
  int format_ = AV_SAMPLE_FMT_NONE;
};

}  // namespace polyphony::audio
