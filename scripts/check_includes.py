#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the dependency rule, the licence line and the file length by reading the sources.

    scripts/check_includes.py [ROOT]      exit 1 and one line a fault, or nothing
"""
import os
import pathlib
import re
import sys

MAX_LINES = 400
FOLDERS = ["core", "modalities", "moe", "pipelines", "gui", "apps", "tests", "bench", "cmake", "scripts"]
CODE = {".h", ".cpp", ".cu", ".cuh"}
TEXT = CODE | {".py", ".sh", ".cmake"}

TORCH = r"(torch|ATen|c10|caffe2)/"
CUDA = r"(cuda|cublas|cudnn|nccl|cub/|thrust/)"
QT = r"(Q[A-Z]\w+|Qt\w*/.*)$"
OPENCV, FFMPEG, SENTENCEPIECE, CLI = r"opencv2/", r"lib(av|sw)\w+/", r"sentencepiece", r"CLI/"
CODECS = [OPENCV, FFMPEG, SENTENCEPIECE]
VALUES = ["core/error.h", "core/check.h", "core/modality.h"]

# A file under `path` (the longest match counts) may include our headers whose path begins with one of `ours`, and no
# header of others that matches one of `never`.
RULES = [
    # path                      ours                                            never
    ("core/error.h",            [],                                             [TORCH, CUDA, QT, CLI, *CODECS]),
    ("core/base/",              ["core/base/", *VALUES],                        [TORCH, CUDA, QT, CLI, *CODECS]),
    ("core/formats/",           ["core/base/", "core/formats/", *VALUES],       [TORCH, CUDA, QT, CLI, *CODECS]),
    ("core/",                   ["core/"],                                      [QT, CLI, *CODECS]),
    ("modalities/",             ["core/", "modalities/"],                       [QT, CLI, *CODECS]),
    ("modalities/image/",       ["core/", "modalities/image/"],                 [QT, CLI, FFMPEG, SENTENCEPIECE]),
    ("modalities/audio/",       ["core/", "modalities/audio/"],                 [QT, CLI, OPENCV, SENTENCEPIECE]),
    ("modalities/text/",        ["core/", "modalities/text/"],                  [QT, CLI, OPENCV, FFMPEG]),
    ("modalities/latent/",      ["core/", "modalities/latent/"],                [QT, CLI, *CODECS]),
    ("moe/",                    ["core/", "moe/"],                              [QT, CLI, *CODECS]),
    ("pipelines/session.h",     ["core/error.h"],                               [TORCH, CUDA, QT, CLI, *CODECS]),
    ("pipelines/data/scenes/",  ["core/base/", "core/formats/", "pipelines/data/scenes/", *VALUES],
                                                                                [TORCH, CUDA, QT, CLI, FFMPEG, SENTENCEPIECE]),
    ("pipelines/torch_file/",   ["core/base/", "core/formats/", "pipelines/torch_file/", *VALUES],
                                                                                [TORCH, CUDA, QT, CLI, *CODECS]),
    ("pipelines/",              ["core/", "modalities/", "moe/", "pipelines/"], [QT, CLI]),
    ("gui/",                    ["gui/", "pipelines/session.h", "core/error.h"], [TORCH, CUDA, CLI, *CODECS]),
    ("apps/",                   ["apps/", "gui/", "pipelines/", "core/base/", "core/formats/", *VALUES],
                                                                                [TORCH, CUDA, *CODECS]),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def rule_of(path):
    """The rule of a file; tests/X and bench/X follow the rule of X."""
    inner = re.sub(r"^(tests|bench)/", "", path)
    found = [rule for rule in RULES if inner.startswith(rule[0])]
    if not found and inner != path:  # tests/support and the like serve all tests
        return None
    return max(found, key=lambda rule: len(rule[0])) if found else None


def include_faults(path, text, is_ours):
    rule = rule_of(path)
    if rule is None:
        return
    _, ours, never = rule
    for match in INCLUDE.finditer(text):
        name = match.group(2)
        where = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        if is_ours(name):
            helper = path.startswith(("tests/", "bench/")) and name.startswith(("tests/", "bench/"))
            if not helper and not any(name.startswith(start) for start in ours):
                yield f"{where}: {rule[0]} must not include {name} (allowed of ours: {', '.join(ours) or 'nothing'})"
        elif any(re.match(pattern, name) for pattern in never):
            yield f"{where}: {rule[0]} must not include <{name}>"


def files(root):
    for folder in FOLDERS:
        for parent, folders, names in os.walk(root / folder):
            folders[:] = [f for f in folders if f not in ("golden", "__pycache__") and not f.startswith("build")]
            for name in names:
                path = pathlib.Path(parent, name)
                if path.suffix in TEXT or name == "CMakeLists.txt":
                    yield path
    yield from (path for path in (root / "run", root / "CMakeLists.txt") if path.exists())


def faults(root):
    def is_ours(name):
        return name.split("/")[0] in FOLDERS and "/" in name

    for file in sorted(files(root)):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        head = text.split("\n", 2)[:2]
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
            yield f"{path}:1: expected the line 'SPDX-License-Identifier: Apache-2.0'"
        lines = text.count("\n")
        if lines > MAX_LINES:
            yield f"{path}: expected at most {MAX_LINES} lines, got {lines}"
        if file.suffix in CODE:
            yield from include_faults(path, text, is_ours)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]).resolve()
    found = list(faults(root))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
