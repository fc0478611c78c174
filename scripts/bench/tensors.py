# SPDX-License-Identifier: Apache-2.0
"""Tensors in safetensors files as NumPy arrays, mapped into memory; bf16 comes as uint16, which NumPy has no type for."""
import json
import struct

import numpy as np

TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}


def load(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    data = np.memmap(path, np.uint8, "c", offset=8 + size)  # changes stay in memory
    out = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        out[name] = data[begin:end].view(TYPES[entry["dtype"]]).reshape(entry["shape"])
    return out


def save(path, arrays):
    header, offset = {}, 0
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.tobytes())


def to_float(bits):
    """bf16 as uint16 -> float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
