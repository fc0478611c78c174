# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/audio: short files of several containers (the ffmpeg program), Whisper's log-mel spectrograms and a
tiny random Whisper encoder with its output (transformers)."""
import pathlib
import subprocess

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "audio"
FILES = OUT / "files"
TONE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.5:sample_rate=44100"]
PICTURE = ["-f", "lavfi", "-i", "testsrc=duration=0.5:size=32x24:rate=10"]
BITEXACT = ["-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1"]


def ffmpeg(name, *arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, *BITEXACT, str(FILES / name)], check=True)


def make_files():
    ffmpeg("tone.wav", *TONE, "-ac", "1", "-ar", "16000")
    ffmpeg("tone.flac", *TONE, "-ac", "2", "-ar", "22050")
    ffmpeg("tone.mp3", *TONE, "-ac", "2", "-b:a", "64k")
    ffmpeg("tone.ogg", *TONE, "-ac", "1", "-c:a", "libvorbis")
    ffmpeg("tone.opus", *TONE, "-ac", "1", "-c:a", "libopus")
    ffmpeg("tone.m4a", *TONE, "-ac", "2", "-c:a", "aac")
    ffmpeg("tone.aiff", *TONE, "-ac", "1", "-ar", "8000")
    ffmpeg("video_and_tone.mp4", *PICTURE, *TONE, "-c:v", "mpeg4", "-c:a", "aac")
    ffmpeg("video_and_tone.mkv", *PICTURE, *TONE, "-c:v", "mpeg4", "-c:a", "libvorbis")
    ffmpeg("video_only.mp4", *PICTURE, "-c:v", "mpeg4")
    ffmpeg("cover_art.mp3", *TONE, *PICTURE, "-map", "0:a", "-map", "1:v", "-frames:v", "1", "-c:v", "mjpeg",
           "-disposition:v", "attached_pic", "-id3v2_version", "3")
    captions = OUT / "captions.srt"
    captions.write_text("1\n00:00:00,000 --> 00:00:01,000\nwords\n")
    ffmpeg("subtitles_only.mkv", "-i", str(captions))
    captions.unlink()


def make_log_mel():
    rng = np.random.default_rng(3)
    t = np.arange(12000) / 16000
    sound = 0.4 * np.sin(2 * np.pi * (300 + 900 * t) * t) + 0.05 * rng.standard_normal(t.size)
    sound = (sound.clip(-1, 1) * 32767).round().astype(np.int16)
    out = {"samples": torch.from_numpy(sound)}
    for bins in (80, 128):
        extractor = WhisperFeatureExtractor(feature_size=bins)
        samples = sound.astype(np.float32) / 32768
        short = extractor(samples, sampling_rate=16000, padding=False, return_tensors="pt").input_features[0]
        padded = extractor(samples, sampling_rate=16000, return_tensors="pt").input_features[0]
        out[f"plain_{bins}"] = short.contiguous()
        out[f"padded_{bins}"] = padded[:, :90].contiguous()
        out[f"tail_{bins}"] = padded[:, 90:].amax(0).unique()
        if bins == 80:
            out["filters_80"] = torch.from_numpy(extractor.mel_filters).float().contiguous()
    save_file(out, OUT / "log_mel.safetensors")


def make_encoder():
    torch.manual_seed(5)
    config = WhisperConfig(num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
                           max_source_positions=12, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32,
                           vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    encoder = WhisperEncoder(config).eval()
    for parameter in encoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
        else:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.5)
    mel = torch.randn(2, 8, 24)
    with torch.no_grad():
        result = encoder(mel).last_hidden_state
    save_file({k: v.contiguous() for k, v in encoder.state_dict().items()}, OUT / "whisper_encoder.safetensors")
    save_file({"mel": mel, "result": result.contiguous()}, OUT / "whisper_encoder_io.safetensors")


if __name__ == "__main__":
    FILES.mkdir(parents=True, exist_ok=True)
    make_files()
    make_log_mel()
    make_encoder()
