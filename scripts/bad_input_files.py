# SPDX-License-Identifier: Apache-2.0
"""Makers of damaged and hostile files for scripts/bad_inputs.py, by hand from the format descriptions."""
import hashlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import types
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 60  # a run that takes more hangs

# --- safetensors: length of the header, header (JSON), tensor bytes


def tensor(name, dtype="F32", shape="[1]", offsets="[0,4]"):
    """One entry of the header; the parts are JSON texts, so that they may be wrong in any way."""
    return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}'


def weights(*entries, data=4, tail=b""):
    """A file with these entries, `data` bytes of zeros for the tensors, and `tail` behind them."""
    header = ("{" + ",".join(entries) + "}").encode()
    return weights_of_header(header, bytes(data) + tail)


def weights_of_header(header, data=b"", length=None):
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def floats(name, shape, value=0.0):
    """One F32 tensor filled with a value."""
    count = 1
    for size in shape:
        count *= size
    entry = tensor(name, "F32", json.dumps(shape), f"[0,{4 * count}]")
    return weights_of_header(("{" + entry + "}").encode(), struct.pack("<f", value) * count)


# --- pictures


def chunk(kind, data, crc=None):
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(width, height, pixels=None, extra=b"", depth=8, colour=2):
    """An RGB picture; `pixels` replaces the packed rows of grey, `extra` stands between header and pixels."""
    if pixels is None:
        pixels = zlib.compress((b"\0" + b"\x80" * 3 * width) * height)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bomb(width, height):
    """A PNG of 1 KB that says that it has so many pixels."""
    return png(width, height, pixels=zlib.compress(bytes(800_000))).ljust(1024, b"\0")


def drawn(text, kind=b"iTXt"):
    """A PNG whose parameters, where generate looks for its request, are this text."""
    if kind == b"zTXt":
        return png(4, 4, extra=chunk(kind, b"polyphony\0\0" + zlib.compress(text.encode(), 9)))
    return png(4, 4, extra=chunk(kind, b"polyphony\0\0\0\0\0" + text.encode()))


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(width=8, height=8, frame=0xC0, precision=8):
    """Well-formed as to its segments, without the tables that decoding needs."""
    head = struct.pack(">BHHB", precision, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    return b"\xff\xd8" + segment(frame, head) + segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0") + b"scan" + b"\xff\xd9"


def bmp(width, height, depth=24):
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 4096, 0, 0, 54) + info + bytes(4096)


def tiff(*more):
    """A grey 2 x 2 picture; `more` are (tag, value) pairs, added or instead of its own."""
    tags = {256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4, **dict(more)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 12) + b"pixl" + struct.pack("<H", len(tags)) + entries + bytes(4)


# --- recipes

AUTOENCODER = {
    "run": {"output": "run"},
    "model": {"block_out_channels": [8, 8], "norm_num_groups": 4},
    "objective": {"type": "autoencoder", "batch_size": 2},
    "train": {"max_steps": 1},
}
JOINT = {
    "run": {"output": "run"},
    "model": {"dim": 48, "depth": 1, "num_heads": 4, "rope_axis_dims": [4, 4, 4], "image_hidden": 16, "latent_channels": 8},
    "moe": {"num_experts": 4, "expert_hidden": 8},
    "objective": {"type": "joint", "autoencoder": "model/vae", "batch_size": 8, "pool_size": 8,
                  "tokenizer_sentences": 100},
    "train": {"max_steps": 1},
}


def recipe(*changes, base=AUTOENCODER):
    """A right recipe with changes: ("train.max_steps", "0") sets a key to a TOML text; None takes the key away."""
    wanted = dict(changes)
    tables = {name: dict(keys) for name, keys in base.items()}
    for name, value in wanted.items():
        table, _, key = name.rpartition(".")
        if table:
            tables.setdefault(table, {})[key] = value
    lines = [f"config_version = {wanted.get('config_version', '1')}"]
    for table, keys in tables.items():
        lines.append(f"[{table}]")
        for key, value in keys.items():
            if value is not None:
                lines.append(f"{key} = {value if f'{table}.{key}' in wanted else json.dumps(value)}")
    return "\n".join(lines) + "\n"


# --- model folders


def model_folder(original, changes=None, config=None):
    """The files of a folder m/: links into the original, but for changed files (None: missing) and config.json keys."""
    source = ROOT / original
    found = {entry.name: link(entry) for entry in source.iterdir()}
    if config:
        values = json.loads((source / "config.json").read_text())
        for name, value in config.items():
            table, _, key = name.rpartition(".")
            (values[table] if table else values)[key] = value
        found["config.json"] = json.dumps(values, indent=2)
    found.update(changes or {})
    return {f"m/{name}": content for name, content in found.items() if content is not None}


# --- what stands in a folder and is no plain file: makers that a case calls with the place


def pipe(place):
    os.mkfifo(place)


def folder(place):
    place.mkdir()


def link(target):
    return lambda place: os.symlink(target, place)


def sparse(head, size):
    """A long file of which only the first bytes take room."""
    def make(place):
        place.write_bytes(head)
        os.truncate(place, size)
    return make


# --- the folder of a case


def write_files(place, files):
    """Name -> bytes, text, or a maker that is called with the path."""
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def files_below(place):
    """Name -> digest of the plain files; empty for long ones, links and pipes. Folders do not count."""
    found = {}
    for parent, folders, names in os.walk(place):
        for path in (pathlib.Path(parent, name) for name in folders + names):
            if path.is_dir() and not path.is_symlink():
                continue
            short = path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20
            found[path.relative_to(place).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest() if short else ""
    return found


def run_in_folder(program, files, command):
    """Runs the shell's command, where `polyphony` is the program, in a new folder with these files and the link `model`."""
    with tempfile.TemporaryDirectory(prefix="polyphony-bad-input-") as temporary:
        work, tools = pathlib.Path(temporary).resolve() / "work", pathlib.Path(temporary).resolve() / "bin"
        work.mkdir()
        tools.mkdir()
        (tools / "polyphony").symlink_to(program)
        (work / "model").symlink_to(ROOT / "configs/default_model")
        write_files(work, files)
        before = files_below(work)
        # No settings of the user's, the system's messages in one language, no GPU.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYPHONY_")}
        path = f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        environment.update(PATH=path, LC_ALL="C", CUDA_VISIBLE_DEVICES="")
        child = subprocess.Popen(command, shell=True, cwd=work, env=environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = child.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
        err = err.decode(errors="replace").replace(f"{work}/", "").replace(str(work), ".")
        return types.SimpleNamespace(code=child.returncode, out=out, err=err, before=before, after=files_below(work))
