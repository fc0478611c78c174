#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/safetensors_mutations/verdicts.json: which of 5,000 seeded mutations of small files the reference
implementation (PyPI safetensors) accepts. tests/core/formats/safetensors_mutations_test.cpp makes the same mutations;
`sha256` over all of them proves that they are the same bytes."""
import hashlib
import json
import pathlib

from safetensors import SafetensorError, deserialize
from safetensors import __version__

ROOT = pathlib.Path(__file__).parents[2]
NUM_MUTATIONS = 5000
MASK = (1 << 64) - 1
# Fragments that a mutation may put into a header.
TOKENS = [b"[", b"]", b"{", b"}", b'"', b",", b":", b"0", b"1", b"9", b"-", b"-0", b"1.0", b"1e3", b"null", b"true",
          b"[]", b"{}", b" ", b"\n", b"\x00", b"\\u0000", b"\\ud800", b"\xc3", b"18446744073709551615",
          b"9223372036854775808", b"4294967296", b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b'"a"',
          b'"F32"', b'"F16"', b'"F4"', b'"C64"', b'"x":1,', b'"x":[[{}]],']


class SplitMix64:
    """Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), figure 16's mixing."""

    def __init__(self, seed: int):
        self.state = seed

    def below(self, n: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def bases() -> list[tuple[bytes, bytes]]:
    """(JSON, data) of the files that are mutated."""
    reference = (ROOT / "tests/golden/safetensors_files/reference.safetensors").read_bytes()
    end = 8 + int.from_bytes(reference[:8], "little")
    two = (b'{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
           b'"b":{"dtype":"U8","shape":[2,2],"data_offsets":[8,12]}}')
    one = b'{"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}'
    zero = b'{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    return [(reference[8:end], reference[end:]), (two, bytes(12)), (one, bytes(4)), (zero, bytes(8))]


def edit(json_text: bytearray, data: bytearray, rng: SplitMix64) -> None:
    kind = rng.below(14)
    at = rng.below(len(json_text) + 1)
    if kind == 0 and at < len(json_text):
        json_text[at] ^= 1 << rng.below(8)
    elif kind == 1 and at < len(json_text):
        json_text[at] = rng.below(256)
    elif kind == 2:
        json_text[at:at] = TOKENS[rng.below(len(TOKENS))]
    elif kind == 3:
        token = TOKENS[rng.below(len(TOKENS))]
        json_text[at:at + len(token)] = token
    elif kind == 4:
        del json_text[at:at + 1 + rng.below(8)]
    elif kind == 5:
        piece = bytes(json_text[at:at + 1 + rng.below(64)])
        to = rng.below(len(json_text) + 1)
        json_text[to:to] = piece
    elif kind == 6:
        del data[rng.below(len(data) + 1):]
    elif kind == 7:
        data += bytes(1 + rng.below(8))
    elif kind == 8:
        digits = [i for i, c in enumerate(json_text) if 0x30 <= c <= 0x39]
        if digits:
            which = digits[rng.below(len(digits))]
            json_text[which] = 0x30 + rng.below(10)
    elif kind == 9 or kind == 10:
        signs = [i for i, c in enumerate(json_text) if c in b"{,:["]
        if signs:
            to = signs[rng.below(len(signs))] + 1
            json_text[to:to] = b" " * (1 + rng.below(3))
    elif kind == 11 or kind == 12:
        json_text += b" " * (1 + rng.below(9))
    elif kind == 13:
        letters = [i for i, c in enumerate(json_text) if 0x61 <= c <= 0x7A]
        if letters:
            which = letters[rng.below(len(letters))]
            json_text[which] = 0x61 + rng.below(26)


def mutation(index: int, files: list[tuple[bytes, bytes]]) -> bytes:
    rng = SplitMix64(index)
    json_text, data = map(bytearray, files[rng.below(len(files))])
    for _ in range(1 + rng.below(2)):
        edit(json_text, data, rng)
    length = len(json_text)
    if rng.below(16) == 0:
        length ^= 1 << rng.below(64)
    return length.to_bytes(8, "little") + bytes(json_text) + bytes(data)


def is_accepted(file: bytes) -> bool:
    try:
        deserialize(file)
        return True
    except SafetensorError:
        return False


def main() -> None:
    files = bases()
    digest = hashlib.sha256()
    bits = 0
    for index in range(NUM_MUTATIONS):
        file = mutation(index, files)
        digest.update(file)
        bits |= is_accepted(file) << index
    accepted = bits.to_bytes(NUM_MUTATIONS // 8, "little").hex()
    out = {"reference": f"safetensors {__version__}", "num_mutations": NUM_MUTATIONS, "sha256": digest.hexdigest(),
           "num_accepted": bits.bit_count(), "accepted_bits_little_endian_hex": accepted}
    (ROOT / "tests/golden/safetensors_mutations/verdicts.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
