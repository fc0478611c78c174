#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of a layer of 1,024 tokens goes, by Linux' perf.

usage: scripts/bench/profile_layer.py [--threads N] [--output docs/benchmarks/layer_profile.md]

Attaches to moe_layer_bench once its weights are packed, lets it run forward and backward with routings that change, and
writes a table of functions by their share of the samples.
"""
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setting import ROOT, Setting

TOKENS, TURNS = 1024, 12
PASSES = {"bf16 forward": ("bf16", "run", 3), "int8 forward": ("int8", "run", 3), "int4 forward": ("int4", "run", 3), "bf16 forward and backward": ("bf16", "train", 2)}
SHOWN = 12
LEAST = 0.5  # percent


def shares(report):
    """[(percent, function, library)] of `perf report --stdio -F overhead,dso,symbol`, as names without their arguments."""
    found = []
    for percent, library, symbol in re.findall(r"^\s+(\d+\.\d+)%\s+(\S+)\s+\[[.k]\]\s+(.*\S)", report, re.M):
        found.append((float(percent), short(symbol), library))
    return found


def short(symbol):
    """A C++ name without template arguments, parameters and namespaces of ours: what a table has room for."""
    symbol = re.sub(r"\(anonymous namespace\)::|polyphony::(ops::)?|\[clone .*\]", "", symbol)
    while True:
        shorter = re.sub(r"<[^<>]*>", "", symbol)
        if shorter == symbol:
            return re.sub(r"\(.*", "", symbol).strip() or "?"
        symbol = shorter


def table(title, rows):
    lines = [f"## {title}", "| share | function | in |", "|---|---|---|"]
    return "\n".join(lines + [f"| {percent:.1f} % | `{function}` | {library} |" for percent, function, library in rows if percent >= LEAST][:SHOWN + 3])


def profile(setting, layers, kind, verb, repetitions):
    program = setting.ours("moe_layer_bench", layers, setting.threads, kind)
    data, inputs = setting.folder / "perf.data", [setting.folder / f"input{i}.safetensors" for i in range(3)]
    try:
        for number, file in enumerate(inputs):  # made before anything is recorded, and each run once
            program.ask("input", TOKENS, repetitions, number, file)
            program.ask(verb, file, "-")
        recorder = subprocess.Popen(["perf", "record", "-q", "-F", "999", "-p", str(program.pid), "-o", data], stderr=subprocess.DEVNULL)
        for number in range(TURNS):
            program.ask(verb, inputs[number % len(inputs)], "-")
    finally:
        program.close()
    recorder.wait()
    return shares(subprocess.run(["perf", "report", "--stdio", "-q", "-F", "overhead,dso,symbol", "-i", data], capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks" / "layer_profile.md")
    a = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("profile_layer: perf is not installed (Debian: linux-perf)")
    with tempfile.TemporaryDirectory(prefix="polyphony-profile-") as folder:
        setting = Setting(Path(folder), a.threads)
        layers = Path(folder) / "layers.safetensors"
        parts = [table(title, profile(setting, layers, *what)) for title, what in PASSES.items()]
    head = (f"# Where the time of the 1,024-token layer goes\n\nWritten by `scripts/bench/profile_layer.py`: samples of perf over {a.threads} threads, OLMoE-1B-7B's shape, routing given.\n")
    a.output.write_text(head + "\n" + "\n\n".join(parts) + "\n")
    print(f"profile_layer: wrote {a.output}")


if __name__ == "__main__":
    main()
