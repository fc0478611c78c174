#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes core/base/unicode_tables.inc from Python's unicodedata (its version of Unicode stands in the file).

    python3 scripts/unicode_tables.py
"""
import pathlib
import sys
import unicodedata

CODES = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)  # composed by arithmetic


def ranges(value_of):
    """[first, last, value] of neighbouring code points with the same value that is not None."""
    out = []
    for c in CODES:
        value = value_of(c)
        if value is None:
            continue
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return out


def char_class(c):
    return {"L": 1, "N": 2}.get(unicodedata.category(chr(c))[0])


def decompositions():
    for c in CODES:
        parts = unicodedata.decomposition(chr(c)).split()
        if not parts or parts[0].startswith("<") or c in HANGUL:
            continue
        pair = [int(part, 16) for part in parts] + [0] * (2 - len(parts))
        composes = pair[1] and unicodedata.normalize("NFC", chr(pair[0]) + chr(pair[1])) == chr(c)
        yield [c, *pair, int(bool(composes))]


def table(name, element, rows):
    lines, line = [], ""
    for row in rows:
        cell = "{" + ",".join(f"0x{v:X}" if v > 9 else str(v) for v in row) + "},"
        if len(line) + len(cell) > 150:
            lines.append(line)
            line = ""
        line += cell
    return f"constexpr {element} {name}[] = {{\n" + "\n".join([*lines, line]) + "\n};\n"


root = pathlib.Path(__file__).parents[1]
text = ("// SPDX-License-Identifier: Apache-2.0\n"
        f"// Unicode {unicodedata.unidata_version}; written by scripts/unicode_tables.py.\n"
        + table("kClasses", "ClassRange", ranges(char_class))
        + table("kCombining", "CombiningRange", ranges(lambda c: unicodedata.combining(chr(c)) or None))
        + table("kDecompositions", "Decomposition", decompositions()))
(root / "core/base/unicode_tables.inc").write_text(text)
