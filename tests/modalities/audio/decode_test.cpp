// SPDX-License-Identifier: Apache-2.0
// Containers and codecs, handcrafted and damaged WAV files, limits, and streaming.
#include "modalities/audio/decode.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>

#include "core/base/files.h"
#include "core/error.h"
#include "tests/modalities/audio/wav_bytes.h"
#include "tests/support/temporary_folder.h"

namespace polyphony::audio {
namespace {

using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::filesystem::path kFiles = POLYPHONY_SOURCE_DIR "/tests/golden/audio/files";

at::Tensor decode(const std::string& bytes, const AudioLimits& limits = {}) {
  return decode_audio(as_byte_span(bytes), limits);
}

std::string refusal(const std::string& bytes, const AudioLimits& limits = {}) {
  try {
    decode(bytes, limits);
  } catch (const DataError& e) {
    return e.what();
  }
  return "accepted";
}

at::Tensor as_floats(const std::vector<int16_t>& samples) { return at::tensor(samples, at::kFloat).div(32768); }

// The share of the sound's energy that lies within 20 Hz of `hz`.
double energy_near(const at::Tensor& sound_T, double hz) {
  const at::Tensor power = at::fft_rfft(sound_T).abs().pow(2);
  const double bins_per_hz = static_cast<double>(sound_T.size(0)) / kSampleRateHz;
  const auto from = static_cast<int64_t>((hz - 20) * bins_per_hz),
             to = static_cast<int64_t>((hz + 20) * bins_per_hz) + 1;
  return (power.slice(0, from, to).sum() / power.sum()).item<double>();
}

TEST(DecodeAudio, GivesTheSamplesOfA16KhzMonoWav) {
  const auto samples = tone(1000, 440, 16000);
  EXPECT_TRUE(at::equal(decode(wav({}, packed(samples))), as_floats(samples)));
}

TEST(DecodeAudio, HearsTheToneInEveryContainer) {
  for (const std::string name : {"tone.wav", "tone.flac", "tone.mp3", "tone.ogg", "tone.opus", "tone.m4a", "tone.aiff",
                                 "video_and_tone.mp4", "video_and_tone.mkv", "cover_art.mp3"}) {
    const at::Tensor sound_T = load_audio(kFiles / name);
    EXPECT_NEAR(static_cast<double>(sound_T.size(0)), 8000, 900) << name;
    EXPECT_GT(energy_near(sound_T, 440), 0.95) << name;
    EXPECT_LE(sound_T.abs().max().item<float>(), 1.0f) << name;
  }
}

TEST(DecodeAudio, TwoEqualChannelsSoundLikeOne) {
  const at::Tensor mono_T = decode(wav({}, packed(tone(1000, 440, 16000))));
  const at::Tensor stereo_T = decode(wav({.channels = 2}, packed(tone(1000, 440, 16000, 2))));
  ASSERT_EQ(stereo_T.sizes(), mono_T.sizes());
  EXPECT_TRUE(at::allclose(stereo_T, mono_T, 0, 1e-4));
}

TEST(DecodeAudio, ReadsEverySampleFormatOfWav) {
  const std::vector<float> values = {0.0f, 0.5f, -0.5f, 0.25f};
  std::string packed24, packed8;
  std::vector<int32_t> values32;
  for (const float v : values) {
    packed24 += little(static_cast<uint32_t>(static_cast<int32_t>(v * (1 << 23))), 3);
    packed8 += static_cast<char>(128 + static_cast<int>(v * 128));
    values32.push_back(static_cast<int32_t>(v * 2147483648.0));
  }
  const at::Tensor expected = at::tensor(values);
  for (const auto& [format, data] :
       {std::pair{WavFormat{.bits = 8}, packed8},
        {WavFormat{.bits = 24}, packed24},
        {WavFormat{.bits = 32}, packed(values32)},
        {WavFormat{.tag = 3, .bits = 32}, packed(values)},
        {WavFormat{.tag = 3, .bits = 64}, packed(std::vector<double>(values.begin(), values.end()))},
        {WavFormat{.tag = 0xfffe, .bits = 24}, packed24}})
    EXPECT_TRUE(at::equal(decode(wav(format, data)), expected)) << format.bits << " bits, tag " << format.tag;
}

TEST(DecodeAudio, AcceptsOddButHonestWavs) {
  const auto samples = tone(500, 440, 16000);
  EXPECT_EQ(decode(wav({.data_size = 0xffffffff}, packed(samples))).size(0), 500) << "size of a stream";
  EXPECT_EQ(decode(wav({.channels = 2}, packed(tone(500, 440, 16000, 2)) + "x")).size(0), 500) << "a stray byte";
  const std::string with_list =
      riff(wav_chunk("LIST", "oddly") + wav_format_chunk({}) + wav_chunk("data", packed(samples)));
  EXPECT_EQ(decode(with_list).size(0), 500);
  EXPECT_EQ(decode(riff(wav_chunk("data", packed(samples)) + wav_format_chunk({}))).size(0), 500) << "format last";
}

TEST(DecodeAudio, RefusesDishonestWavs) {
  const std::string data = packed(tone(500, 440, 16000));
  const std::pair<const char*, std::string> cases[] = {
      {"no channels", wav({.channels = 0, .block_align = 2}, data)},
      {"255 channels", wav({.channels = 255}, data)},
      {"65535 channels", wav({.channels = 65535}, data)},
      {"rate 0", wav({.rate_hz = 0}, data)},
      {"rate 10^9", wav({.rate_hz = 1000000000}, data)},
      {"unknown tag", wav({.tag = 0x1234}, data)},
      {"no format", riff(wav_chunk("data", data))},
      {"no bytes", ""},
      {"words", "these are words and no sound at all"},
  };
  for (const auto& [name, file] : cases) EXPECT_NE(refusal(file), "accepted") << name;
}

TEST(DecodeAudio, GivesNoSamplesForNoneAndOneForOne) {
  EXPECT_EQ(decode(wav({}, "")).size(0), 0);
  EXPECT_EQ(decode(wav({}, packed(std::vector<int16_t>{16384}))).size(0), 1);
}

TEST(DecodeAudio, MendsNonFiniteAndClipsLoudSamples) {
  std::vector<float> values(2000, 0.25f);
  values[700] = std::numeric_limits<float>::quiet_NaN();
  values[800] = std::numeric_limits<float>::infinity();
  values[900] = -3e38f;
  values[901] = std::numeric_limits<float>::denorm_min();
  const at::Tensor same_T = decode(wav({.tag = 3, .bits = 32}, packed(values)));
  EXPECT_EQ(same_T[700].item<float>(), 0.0f);
  EXPECT_EQ(same_T[800].item<float>(), 0.0f);
  EXPECT_EQ(same_T[900].item<float>(), -1.0f);
  EXPECT_EQ(same_T[902].item<float>(), 0.25f);
  const at::Tensor resampled_T = decode(wav({.tag = 3, .rate_hz = 44100, .bits = 32}, packed(values)));
  EXPECT_TRUE(at::isfinite(resampled_T).all().item<bool>());
}

TEST(DecodeAudio, SaysWhichStreamsAFileWithoutSoundHas) {
  EXPECT_THAT(refusal(read_file(kFiles / "video_only.mp4", 1 << 20)), HasSubstr("video (mpeg4)"));
  EXPECT_THAT(refusal(read_file(kFiles / "subtitles_only.mkv", 1 << 20)), HasSubstr("subtitle"));
}

TEST(DecodeAudio, SaysWhichCodecIsMissingAndHowToConvert) {
  const std::string message = refusal(wav({.tag = 0x1234, .bits = 16}, packed(tone(500, 440, 16000))));
  EXPECT_THAT(message, AllOf(HasSubstr("tag 4660"), HasSubstr("ffmpeg -i")));
}

TEST(DecodeAudio, RefusesPlaylistsAndReferences) {
  const std::string playlists[] = {
      "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
      "ffconcat version 1.0\nfile '/etc/passwd'\n",
      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
      "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
  };
  for (const auto& playlist : playlists) EXPECT_NE(refusal(playlist), "accepted") << playlist;
}

TEST(DecodeAudio, RefusesAddressesAndWhatIsNoFile) {
  const polyphony::testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe.wav").c_str(), 0600), 0);
  for (const std::string& path :
       {"https://example.org/a.mp3"s, "concat:a.wav|b.wav"s, "subfile,,start,0,end,9,,:/etc/passwd"s, "/dev/zero"s,
        (folder / "pipe.wav").string(), (folder / "missing.wav").string()})
    EXPECT_THROW(load_audio(path), DataError) << path;
}

TEST(DecodeAudio, SurvivesTruncationAtAnyTenth) {
  for (const std::string name : {"tone.wav", "tone.flac", "tone.mp3", "tone.ogg", "tone.m4a", "video_and_tone.mkv"}) {
    const std::string file = read_file(kFiles / name, 1 << 20);
    for (size_t tenth = 0; tenth < 10; ++tenth) refusal(file.substr(0, file.size() * tenth / 10));
  }
  const std::string mp4 = read_file(kFiles / "tone.m4a", 1 << 20);
  EXPECT_NE(refusal(mp4.substr(0, mp4.size() / 2)), "accepted") << "the index lies at the end";
}

TEST(DecodeAudio, SkipsDamagedPacketsAndGoesOn) {
  std::string file = read_file(kFiles / "tone.mp3", 1 << 20);
  for (size_t i = file.size() / 2; i < file.size() / 2 + 300; ++i) file[i] = '\x5a';
  const at::Tensor sound_T = decode(file);
  EXPECT_GT(sound_T.size(0), 4000);
  EXPECT_TRUE(at::isfinite(sound_T).all().item<bool>());
}

TEST(DecodeAudio, EveryFlippedByteGivesSoundOrADataError) {
  for (const std::string name : {"tone.flac", "tone.ogg", "tone.m4a", "video_and_tone.mp4"}) {
    std::string file = read_file(kFiles / name, 1 << 20);
    for (size_t i = 0; i < file.size(); i += 1 + file.size() / 25) {
      file[i] ^= '\x55';
      refusal(file);
      file[i] ^= '\x55';
    }
  }
}

TEST(DecodeAudio, KeepsItsLimits) {
  const std::string second = wav({}, packed(tone(16000, 440, 16000)));
  EXPECT_THAT(refusal(second, {.max_duration_s = 0.5}), HasSubstr("at most 0.5 s"));
  EXPECT_NE(refusal(read_file(kFiles / "video_and_tone.mp4", 1 << 20), {.max_streams = 1}), "accepted");
  EXPECT_THAT(refusal(second, {.deadline_s = 0.0}), HasSubstr("done within"));
  EXPECT_THROW(decode(second, {.cancelled = [] { return true; }}), CancelledError);
}

TEST(AudioReader, StreamsTheSameSamplesInPieces) {
  const std::string file = read_file(kFiles / "tone.mp3", 1 << 20);
  const at::Tensor whole_T = decode(file);
  AudioReader reader = AudioReader::open_bytes(as_byte_span(file));
  EXPECT_EQ(reader.info().codec, "mp3");
  EXPECT_EQ(reader.info().channels, 2);
  std::vector<at::Tensor> pieces;
  do pieces.push_back(reader.read(777));
  while (pieces.back().numel() == 777);
  EXPECT_TRUE(at::equal(at::cat(pieces), whole_T));
  EXPECT_EQ(reader.read(10).numel(), 0);
}

TEST(AudioReader, StopsWithinTheStreamWhenCancelled) {
  bool stop = false;
  const std::string file = wav({}, packed(tone(160000, 440, 16000)));
  AudioReader reader = AudioReader::open_bytes(as_byte_span(file), {.cancelled = [&] { return stop; }});
  EXPECT_EQ(reader.read(1000).numel(), 1000);
  stop = true;
  EXPECT_THROW(reader.read(100000), CancelledError);
}

}  // namespace
}  // namespace polyphony::audio
