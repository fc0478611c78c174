#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of small operations with callgrind: a figure that a busy machine does not change.

usage: scripts/bench/instructions.py [--program FILE] [--write] [--json FILE]

Compares with docs/benchmarks/instructions.json and fails (exit code 1) where an operation takes 2 % more; --write
replaces the counts there. At level avx2 and on one thread: callgrind knows no AMX.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = 1.02


def count(program):
    """{operation: instructions} of the two calls of each measured_X, what it calls included."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=measured_*", f"--callgrind-out-file={folder}/out", program],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "POLYPHONY_CPU_LEVEL": "avx2", "OMP_NUM_THREADS": "1"})
        return counts_of(subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", f"{folder}/out"], check=True, capture_output=True, text=True).stdout)


def counts_of(table):
    """From the inclusive table of callgrind_annotate. Throws ValueError where it names no operation."""
    counts = {name: int(count.replace(",", "")) for count, name in re.findall(r"^\s*([\d,]+) .*:measured_(\w+)", table, re.M)}
    if not counts:
        raise ValueError("callgrind_annotate's table names no measured_ function")
    return dict(sorted(counts.items()))


def compared(counts, known):
    """One line an operation, and whether none takes more than is allowed."""
    lines, good = [], True
    for name, instructions in counts.items():
        before = known.get(name)
        more = before is not None and instructions > ALLOWED * before
        good = good and not more
        lines.append(f"{name:28s} {instructions:12,d}" + ("" if before is None else f"  {100 * (instructions / before - 1):+.1f} %") + ("  MORE than 2 %" if more else ""))
    return lines, good


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "bin" / "counted_operations")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "benchmarks" / "instructions.json")
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    if not shutil.which("valgrind"):
        print("instructions: valgrind is not installed: nothing was counted")
        return
    counts = count(a.program)
    lines, good = compared(counts, json.loads(a.json.read_text())["instructions"] if a.json.exists() else {})
    print("\n".join(lines))
    if a.write or not a.json.exists():
        a.json.write_text(json.dumps({"tool": "callgrind", "level": "avx2", "threads": 1, "instructions": counts}, indent=1) + "\n")
    elif not good:
        sys.exit(1)


if __name__ == "__main__":
    main()
