#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cases of bad_inputs.py about models of classes and about PyTorch's files."""
import io
import json
import struct
import zipfile

from bad_input_files import ROOT, link, model_folder

USAGE, BAD_INPUT = 2, 3
FLAT, TINY, VAE = "tests/golden/dit_moe", "tests/golden/tiny_dit_moe", "tests/golden/autoencoder_kl/two_levels"

# --- a diffusers folder m/ with a few keys changed

INDEX = {"_class_name": "DiTMoEPipeline", "transformer": ["diffusers", "DiTMoETransformer2DModel"],
         "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDIMScheduler"], "id2label": {"3": "tench"}}
SCHEDULER = {"_class_name": "DDIMScheduler", "beta_schedule": "linear"}


def pipeline(index=None, scheduler=None, transformer=None, vae=None, without=()):
    parts = {"transformer": (FLAT, transformer), "vae": (VAE, vae)}
    files = {"m/model_index.json": json.dumps(INDEX | (index or {})),
             "m/scheduler/scheduler_config.json": json.dumps(SCHEDULER | (scheduler or {}))}
    for part, (original, config) in parts.items():
        for name, content in model_folder(original, config=config).items():
            files[name.replace("m/", f"m/{part}/", 1)] = content
    return {name: content for name, content in files.items() if name.split("/")[1] not in without}


def drawn_by_m(words):
    return f"polyphony generate --model m {words} --output new.png"


PIPELINE, FLAT_FOLDER = pipeline(), model_folder(FLAT)
LATENTS = "polyphony generate --model m {} --output new.safetensors"
# id, words, files, command, exit code
CLASSES = [
    ("D01", "class out of range", PIPELINE, drawn_by_m("--class 10"), USAGE),
    ("D02", "class that has no such name", PIPELINE, drawn_by_m("--class tenhc"), USAGE),
    ("D03", "0 steps", PIPELINE, drawn_by_m("--class 3 --steps 0"), USAGE),
    ("D04", "guidance that is no number", PIPELINE, drawn_by_m("--class 3 --guidance strong"), USAGE),
    ("D05", "another size", PIPELINE, drawn_by_m("--class 3 --size 512x512"), USAGE),
    ("D06", "sampler of the other mode", PIPELINE, drawn_by_m("--class 3 --sampler euler"), USAGE),
    ("D07", "steps without an integer stride", PIPELINE, drawn_by_m("--class 3 --sampler ddim --steps 501"), USAGE),
    ("D08", "text for a model of classes", PIPELINE, drawn_by_m("--prompt circle"), USAGE),
    ("D09", "class for a model of texts", {}, "polyphony generate --model model --class 3 --output new.png", USAGE),
    ("D10", "picture of a model without autoencoder", FLAT_FOLDER, drawn_by_m("--class 3"), USAGE),
    ("D11", "previews of a model without autoencoder", FLAT_FOLDER, LATENTS.format("--class 3 --previews p"), USAGE),
    ("D12", "size of latents", FLAT_FOLDER, LATENTS.format("--class 3 --size 64x64"), USAGE),
    ("D13", "class and text", PIPELINE, drawn_by_m("--class 3 --prompt circle"), USAGE),
    ("D20", "autoencoder of the index is not there", pipeline(without=("vae",)), drawn_by_m("--class 3"), BAD_INPUT),
    ("D21", "scheduler of another class than the index says", pipeline(scheduler={"_class_name": "DDPMScheduler"}),
     drawn_by_m("--class 3"), BAD_INPUT),
    ("D22", "unknown scheduler", pipeline({"scheduler": ["diffusers", "Euler"]}, {"_class_name": "Euler"}),
     drawn_by_m("--class 3"), BAD_INPUT),
    ("D23", "noise schedule that no DiT-MoE has", pipeline(scheduler={"beta_schedule": "scaled_linear"}),
     drawn_by_m("--class 3"), BAD_INPUT),
    ("D24", "name of a class that is not there", pipeline({"id2label": {"10": "x"}}), drawn_by_m("--class 3"), BAD_INPUT),
    ("D25", "transformer of another class", pipeline({"transformer": ["diffusers", "DiTTransformer2DModel"]}),
     drawn_by_m("--class 3"), BAD_INPUT),
    ("D26", "deeper than its weights", pipeline(transformer={"depth": 4}), drawn_by_m("--class 3"), BAD_INPUT),
    ("D27", "a billion layers", pipeline(transformer={"depth": 1000000000}), drawn_by_m("--class 3"), BAD_INPUT),
    ("D28", "autoencoder of other latents", pipeline(transformer={"in_channels": 5}), drawn_by_m("--class 3"), BAD_INPUT),
    ("D29", "model of pixels with an autoencoder", pipeline({"sample_space": "pixels"}), drawn_by_m("--class 3"), BAD_INPUT),
]

# --- pickles and archives, byte by byte: nothing of PyTorch is needed to write them


def rebuilt(numel=4, offset=0, size=(4,), stride=(1,), key="0"):
    """The pickle of one float32 tensor."""
    def pack(values):
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"
    storage = b"(Vstorage\nctorch\nFloatStorage\nV%s\nVcpu\nI%d\ntQ" % (key.encode(), numel)
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"I%d\n" % offset + pack(size) + pack(stride) +
            b"I00\nccollections\nOrderedDict\n(tRtR")


def state_dict(tensor, name="w"):
    return b"(V" + name.encode() + b"\n" + tensor + b"d."


def archive(pickle, storages=None, compression=zipfile.ZIP_STORED, more=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        out.writestr("x/data.pkl", pickle)
        out.writestr("x/byteorder", "little")
        for key, content in (storages if storages is not None else {"0": bytes(16)}).items():
            out.writestr(f"x/data/{key}", content)
        for name, content in more:
            out.writestr(name, content)
    return buffer.getvalue()


def overlapping():
    """Two entries of the directory that begin at one place."""
    content = bytearray(archive(state_dict(rebuilt()), {"0": bytes(16), "1": bytes(16)}))
    places = [i for i in range(len(content)) if content[i:i + 4] == b"PK\1\2"]
    content[places[-1] + 42:places[-1] + 46] = content[places[-2] + 42:places[-2] + 46]
    return bytes(content)


def flipped():
    content = bytearray((ROOT / TINY / "training.pt").read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


HUGE = struct.pack("<Q", 1 << 62)
# id, words, bytes of x.pt
PICKLES = [
    ("P01", "0 bytes", b""),
    ("P02", "words", b"these are words"),
    ("P03", "runs a program when loaded", archive(b"cposix\nsystem\n(Vtouch harmed\ntR.")),
    ("P04", "runs Python when loaded", archive(b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.")),
    ("P05", "runs a program, without an archive", b"\x80\x02cos\nsystem\nX\x0c\0\0\0touch harmed\x85R."),
    ("P06", "100,000 opened lists", archive(b"\x80\x02" + b"](" * 100_000)),
    ("P07", "text of 2^62 bytes", archive(b"\x80\x04\x8d" + HUGE + b"a.")),
    ("P08", "bytes of 2^62", archive(b"\x80\x04\x8e" + HUGE + b"a.")),
    ("P09", "value that was never kept", archive(b"\x80\x02j\xff\xff\xff\xff.")),
    ("P10", "pickle without an end", archive(b"\x80\x02}")),
    ("P11", "list of numbers", archive(b"\x80\x02]K\x01a.")),
    ("P12", "archive cut short", (ROOT / TINY / "training.pt").read_bytes()[:-100]),
    ("P13", "archive with one bit changed", flipped()),
    ("P14", "path out of the archive", archive(state_dict(rebuilt()), more=[("../evil", b"x")])),
    ("P15", "absolute path in the archive", archive(state_dict(rebuilt()), more=[("/etc/evil", b"x")])),
    ("P16", "compressed archive", archive(state_dict(rebuilt()), {"0": bytes(4096)}, zipfile.ZIP_DEFLATED)),
    ("P17", "storages that overlap", overlapping()),
    ("P18", "tensor one value past its storage", archive(state_dict(rebuilt(size=(5,))))),
    ("P19", "tensor that begins behind its storage", archive(state_dict(rebuilt(offset=4)))),
    ("P20", "negative size", archive(state_dict(rebuilt(size=(-1,))))),
    ("P21", "negative stride", archive(state_dict(rebuilt(stride=(-1,))))),
    ("P22", "sizes whose product wraps", archive(state_dict(rebuilt(size=(1 << 32, 1 << 32), stride=(0, 0))))),
    ("P23", "2^40 values out of one", archive(state_dict(rebuilt(size=(1 << 40,), stride=(0,))))),
    ("P24", "storage that is not there", archive(state_dict(rebuilt(key="7")))),
    ("P25", "storage shorter than it says", archive(state_dict(rebuilt(numel=8)))),
    ("P26", "dense DiT with GELU layers", archive(state_dict(rebuilt(), "blocks.0.mlp.fc1.weight"))),
    ("P27", "weights of something else", archive(state_dict(rebuilt(), "conv.weight"))),
]
CONVERT = "polyphony convert x.pt --config config.json --mode rf --output new"
RIGHT = {"x.pt": link(ROOT / TINY / "training.pt"), "config.json": link(ROOT / TINY / "config.json")}
# id, words, files, command, exit code
CONVERSIONS = [
    ("P30", "preset of another size", RIGHT, "polyphony convert x.pt --preset S/2-8E2A --mode rf --output new", BAD_INPUT),
    ("P31", "unknown preset", RIGHT, "polyphony convert x.pt --preset S/3-8E2A --mode rf --output new", USAGE),
    ("P32", "unknown mode", RIGHT, "polyphony convert x.pt --preset S/2-8E2A --mode flow --output new", USAGE),
    ("P33", "neither preset nor config", RIGHT, "polyphony convert x.pt --mode rf --output new", USAGE),
    ("P34", "output is there", RIGHT | {"full/a": ""}, CONVERT.replace("new", "full"), USAGE),
    ("P35", "autoencoder of no folder", RIGHT, f"{CONVERT} --vae x.vae", BAD_INPUT),
    ("P36", "names of classes that are not there", RIGHT | {"x.json": '{"5": "x"}'}, f"{CONVERT} --labels x.json", BAD_INPUT),
]
