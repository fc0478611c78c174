// SPDX-License-Identifier: Apache-2.0
#include "modalities/audio/resampler.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "modalities/audio/decode.h"

namespace polyphony::audio {

namespace {

constexpr int kMaxChannels = 64;
constexpr int kMaxRateHz = 768'000;

template <class Sample>
void sanitise(uint8_t* plane, int64_t count) {
  auto* samples = reinterpret_cast<Sample*>(plane);
  for (int64_t i = 0; i < count; ++i)
    samples[i] = std::isfinite(samples[i]) ? std::clamp(samples[i], Sample(-1), Sample(1)) : Sample(0);
}

// One NaN would spread over the resampler's whole filter, so float samples are mended before it.
void sanitise_frame(AVFrame& frame) {
  const auto format = static_cast<AVSampleFormat>(frame.format);
  const auto packed = av_get_packed_sample_fmt(format);
  if (packed != AV_SAMPLE_FMT_FLT && packed != AV_SAMPLE_FMT_DBL) return;
  check<DataError>(av_frame_make_writable(&frame) >= 0, "[audio] expected memory for a frame of ", frame.nb_samples,
                   " samples");
  const bool planar = av_sample_fmt_is_planar(format) != 0;
  const int planes = planar ? frame.ch_layout.nb_channels : 1;
  const int64_t count = int64_t{frame.nb_samples} * (planar ? 1 : frame.ch_layout.nb_channels);
  for (int p = 0; p < planes; ++p)
    packed == AV_SAMPLE_FMT_FLT ? sanitise<float>(frame.extended_data[p], count)
                                : sanitise<double>(frame.extended_data[p], count);
}

}  // namespace

bool Resampler::fits(const AVFrame& frame) const {
  return swr_ && rate_hz_ == frame.sample_rate && channels_ == frame.ch_layout.nb_channels && format_ == frame.format;
}

void Resampler::reset(const AVFrame& frame) {
  const int channels = frame.ch_layout.nb_channels;
  check<DataError>(channels >= 1 && channels <= kMaxChannels, "[audio] expected 1 to ", kMaxChannels, " channels, got ",
                   channels);
  check<DataError>(frame.sample_rate >= 1 && frame.sample_rate <= kMaxRateHz, "[audio] expected a rate of 1 to ",
                   kMaxRateHz, " Hz, got ", frame.sample_rate);
  AVChannelLayout in_layout{};
  if (frame.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
    av_channel_layout_default(&in_layout, channels);
  } else {
    check<DataError>(av_channel_layout_copy(&in_layout, &frame.ch_layout) >= 0, "[audio] expected a channel layout");
  }
  AVChannelLayout mono{};
  av_channel_layout_default(&mono, 1);
  SwrContext* swr = nullptr;
  int error = swr_alloc_set_opts2(&swr, &mono, AV_SAMPLE_FMT_FLT, static_cast<int>(kSampleRateHz), &in_layout,
                                  static_cast<AVSampleFormat>(frame.format), frame.sample_rate, 0, nullptr);
  av_channel_layout_uninit(&in_layout);
  swr_.reset(swr);
  // Without this limit a mix of float channels is not normalised and two equal channels would gain 3 dB.
  if (error >= 0) error = av_opt_set_double(swr, "rematrix_maxval", 1.0, 0);
  if (error >= 0) error = swr_init(swr);
  check<DataError>(error >= 0, "[audio] expected ", channels, " channels at ", frame.sample_rate,
                   " Hz that mix to mono, got: ", av_text(error));
  rate_hz_ = frame.sample_rate;
  channels_ = channels;
  format_ = frame.format;
}

void Resampler::convert(const AVFrame* frame, std::vector<float>& out) {
  const int in_count = frame == nullptr ? 0 : frame->nb_samples;
  const int room = swr_get_out_samples(swr_.get(), in_count);
  check<DataError>(room >= 0, "[audio] expected a frame that resamples, got: ", av_text(room));
  const size_t before = out.size();
  out.resize(before + static_cast<size_t>(room));
  auto* target = reinterpret_cast<uint8_t*>(out.data() + before);
  const auto** source = frame == nullptr ? nullptr : const_cast<const uint8_t**>(frame->extended_data);
  const int written = swr_convert(swr_.get(), &target, room, source, in_count);
  check<DataError>(written >= 0, "[audio] expected a frame that resamples, got: ", av_text(written));
  out.resize(before + static_cast<size_t>(written));
  for (size_t i = before; i < out.size(); ++i) out[i] = std::clamp(out[i], -1.0f, 1.0f);
}

void Resampler::push(AVFrame& frame, std::vector<float>& out) {
  if (frame.nb_samples <= 0) return;
  if (!fits(frame)) {
    flush(out);
    reset(frame);
  }
  sanitise_frame(frame);
  convert(&frame, out);
}

void Resampler::flush(std::vector<float>& out) {
  if (swr_) convert(nullptr, out);
}

}  // namespace polyphony::audio
