// SPDX-License-Identifier: Apache-2.0
// AudioReader: opening a container under limits, and the decode loop that cannot turn for ever.
#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "core/check.h"
#include "modalities/audio/byte_source.h"
#include "modalities/audio/decode.h"
#include "modalities/audio/resampler.h"

namespace polyphony::audio {

namespace {

using Clock = std::chrono::steady_clock;

// Containers by FFmpeg's names. Playlists and references (hls, concat, dash, sdp, ...) are not here, and must not be.
constexpr const char* kContainers =
    "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,ac3,eac3,amr,ape,wv,tta,dsf,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,"
    "flv,"
    "mpegts,mpeg";

struct Options {
  AVDictionary* values = nullptr;
  ~Options() { av_dict_free(&values); }
};

int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EACCES); }

std::string list_streams(const AVFormatContext& format) {
  std::string list;
  for (unsigned i = 0; i < format.nb_streams; ++i) {
    const auto* type = av_get_media_type_string(format.streams[i]->codecpar->codec_type);
    list += join(i == 0 ? "" : ", ", type == nullptr ? "unknown" : type, " (",
                 avcodec_get_name(format.streams[i]->codecpar->codec_id), ")");
  }
  return list.empty() ? "no streams" : list;
}

}  // namespace

class AudioReader::State {
 public:
  State(ByteSource source, const AudioLimits& limits) : limits_(limits), source_(std::move(source)) {
    restart_deadline();
    io_ = source_.make_context([this] { return stopped(); });
    open_container();
    open_stream();
  }

  at::Tensor read(int64_t max_samples) {
    check<ShapeError>(max_samples >= 0, "[audio] expected max_samples >= 0, got ", max_samples);
    restart_deadline();
    std::vector<float> out;
    while (static_cast<int64_t>(out.size()) < max_samples && fill()) {
      const size_t take = std::min(pending_.size() - taken_, static_cast<size_t>(max_samples) - out.size());
      const auto from = pending_.begin() + static_cast<ptrdiff_t>(taken_);
      out.insert(out.end(), from, from + static_cast<ptrdiff_t>(take));
      taken_ += take;
    }
    return at::tensor(out, at::kFloat);
  }

  const AudioInfo& info() const { return info_; }

 private:
  bool cancelled() const { return limits_.cancelled && limits_.cancelled(); }
  bool overdue() const { return Clock::now() > deadline_; }
  bool stopped() const { return cancelled() || overdue(); }
  void restart_deadline() {
    deadline_ =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limits_.deadline_s));
  }

  // FFmpeg only hands back numbers: what stopped it is looked up here.
  void check_stopped() const {
    check<CancelledError>(!cancelled(), "[audio] cancelled while decoding ", source_.name());
    check<DataError>(!overdue(), "[audio] expected to be done within ", limits_.deadline_s, " s: ", source_.name());
    check<DataError>(source_.failure().empty(), source_.failure());
  }

  void open_container();
  void open_stream();
  void find_streams();
  bool fill();
  void receive();
  void send_next_packet();
  void count_bad_packet(int error);
  void take_frame();
  void finish();

  AudioLimits limits_;
  Clock::time_point deadline_;
  ByteSource source_;
  AvioPtr io_;
  FormatPtr format_;  // before io_'s end: closing it may still ask for bytes
  CodecPtr codec_;
  PacketPtr packet_{av_packet_alloc()};
  FramePtr frame_{av_frame_alloc()};
  int stream_ = -1;
  AudioInfo info_;
  Resampler resampler_;
  std::vector<float> pending_;
  size_t taken_ = 0;
  int64_t produced_ = 0;
  int bad_packets_ = 0;  // in a row
  bool any_frame_ = false;
  bool draining_ = false;
  bool done_ = false;
};

void AudioReader::State::open_container() {
  check<DataError>(source_.size() > 0, "[audio] expected a sound file, got 0 bytes: ", source_.name());
  av_log_set_level(AV_LOG_QUIET);
  AVFormatContext* format = avformat_alloc_context();
  check<MemoryError>(format != nullptr && packet_ && frame_, "[audio] expected memory for a container");
  format->pb = io_.get();
  format->flags |= AVFMT_FLAG_CUSTOM_IO;
  format->io_open = &refuse_to_open;
  format->max_streams = limits_.max_streams;
  format->probesize = limits_.max_probe_bytes;
  format->interrupt_callback = {[](void* self) { return static_cast<State*>(self)->stopped() ? 1 : 0; }, this};
  Options options;
  av_dict_set(&options.values, "format_whitelist", kContainers, 0);
  av_dict_set(&options.values, "protocol_whitelist", "file", 0);
  // On failure FFmpeg frees the context itself.
  const int error = avformat_open_input(&format, nullptr, nullptr, &options.values);
  if (error < 0) check_stopped();
  check<DataError>(error >= 0, "[audio] expected a sound or video container (wav, flac, ogg, mp3, aac, mp4, matroska, ",
                   "avi, mpeg), got: ", av_text(error), ": ", source_.name());
  format_.reset(format);
  find_streams();
}

void AudioReader::State::find_streams() {
  std::vector<AVDictionary*> options(format_->nb_streams, nullptr);
  for (auto& option : options) {
    av_dict_set_int(&option, "max_pixels", limits_.max_video_pixels, 0);
    av_dict_set(&option, "threads", "1", 0);
  }
  const int error = avformat_find_stream_info(format_.get(), options.empty() ? nullptr : options.data());
  for (auto& option : options) av_dict_free(&option);
  check_stopped();
  check<DataError>(error >= 0, "[audio] expected readable streams, got: ", av_text(error), ": ", source_.name());
}

void AudioReader::State::open_stream() {
  stream_ = av_find_best_stream(format_.get(), AVMEDIA_TYPE_AUDIO, -1, -1, nullptr, 0);
  check<DataError>(stream_ >= 0, "[audio] expected an audio stream, got ", list_streams(*format_), ": ",
                   source_.name());
  for (unsigned i = 0; i < format_->nb_streams; ++i)
    if (static_cast<int>(i) != stream_) format_->streams[i]->discard = AVDISCARD_ALL;
  const AVStream& stream = *format_->streams[stream_];
  const AVCodecParameters& parameters = *stream.codecpar;
  const char* name = avcodec_get_name(parameters.codec_id);
  const AVCodec* decoder = avcodec_find_decoder(parameters.codec_id);
  check<DataError>(decoder != nullptr, "[audio] expected a codec that this FFmpeg decodes, got ", name, " (tag ",
                   parameters.codec_tag, ")", "; convert it with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav (",
                   source_.name(), ")");
  codec_.reset(avcodec_alloc_context3(decoder));
  check<MemoryError>(codec_ != nullptr, "[audio] expected memory for a decoder");
  int error = avcodec_parameters_to_context(codec_.get(), &parameters);
  codec_->pkt_timebase = stream.time_base;
  codec_->thread_count = 1;
  if (error >= 0) error = avcodec_open2(codec_.get(), decoder, nullptr);
  check<DataError>(error >= 0, "[audio] expected a stream that the ", name, " decoder opens, got: ", av_text(error),
                   ": ", source_.name());
  info_ = {.container = format_->iformat->name,
           .codec = name,
           .sample_rate_hz = parameters.sample_rate,
           .channels = parameters.ch_layout.nb_channels,
           .declared_duration_s = format_->duration > 0 ? static_cast<double>(format_->duration) / AV_TIME_BASE : 0.0};
}

// Whether there are samples to take.
bool AudioReader::State::fill() {
  while (taken_ == pending_.size()) {
    if (done_) return false;
    pending_.clear();
    taken_ = 0;
    receive();
    produced_ += static_cast<int64_t>(pending_.size());
    check<DataError>(static_cast<double>(produced_) <= limits_.max_duration_s * kSampleRateHz,
                     "[audio] expected at most ", limits_.max_duration_s, " s of sound, got more: ", source_.name());
  }
  return true;
}

void AudioReader::State::receive() {
  check_stopped();
  const int error = avcodec_receive_frame(codec_.get(), frame_.get());
  if (error >= 0) return take_frame();
  if (error == AVERROR_EOF || (draining_ && error == AVERROR(EAGAIN))) return finish();
  if (error != AVERROR(EAGAIN)) count_bad_packet(error);
  if (!draining_) send_next_packet();
}

void AudioReader::State::take_frame() {
  bad_packets_ = 0;
  any_frame_ = true;
  resampler_.push(*frame_, pending_);
  av_frame_unref(frame_.get());
}

void AudioReader::State::finish() {
  check<DataError>(any_frame_ || bad_packets_ == 0,
                   "[audio] expected sound that decodes, got only damaged packets: ", source_.name());
  resampler_.flush(pending_);
  done_ = true;
}

// The decoder has just said that it wants a packet; one that it then refuses as "full" would be a loop without end.
void AudioReader::State::send_next_packet() {
  for (;;) {
    check_stopped();
    int error = av_read_frame(format_.get(), packet_.get());
    if (error == AVERROR_EOF) {
      draining_ = true;
      avcodec_send_packet(codec_.get(), nullptr);
      return;
    }
    if (error < 0) {
      check_stopped();
      return count_bad_packet(error);
    }
    if (packet_->stream_index == stream_) {
      error = avcodec_send_packet(codec_.get(), packet_.get());
      av_packet_unref(packet_.get());
      check<DataError>(error != AVERROR(EAGAIN),
                       "[audio] expected a decoder that takes or gives, got neither: ", source_.name());
      if (error < 0) count_bad_packet(error);
      return;
    }
    av_packet_unref(packet_.get());
  }
}

void AudioReader::State::count_bad_packet(int error) {
  ++bad_packets_;
  check<DataError>(bad_packets_ <= limits_.max_bad_packets, "[audio] expected at most ", limits_.max_bad_packets,
                   " damaged packets in a row, got more (", av_text(error), "): ", source_.name());
}

AudioReader::AudioReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
AudioReader::~AudioReader() = default;
AudioReader::AudioReader(AudioReader&&) noexcept = default;
AudioReader& AudioReader::operator=(AudioReader&&) noexcept = default;

AudioReader AudioReader::open_file(const std::filesystem::path& path, const AudioLimits& limits) {
  return AudioReader(std::make_unique<State>(ByteSource::of_file(path), limits));
}

AudioReader AudioReader::open_bytes(std::span<const std::byte> bytes, const AudioLimits& limits) {
  return AudioReader(std::make_unique<State>(ByteSource::of_bytes(bytes), limits));
}

at::Tensor AudioReader::read(int64_t max_samples) { return state_->read(max_samples); }

const AudioInfo& AudioReader::info() const { return state_->info(); }

}  // namespace polyphony::audio
