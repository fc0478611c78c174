#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page docs/coverage.md: two surveys' lists of MoE work against what is registered here.

usage: scripts/coverage.py PROGRAM > docs/coverage.md
       scripts/coverage.py PROGRAM --check docs/coverage.md

scripts/coverage.csv says which router, kind of experts or loss stands for a work. Fails where it names what the program
does not list, or where something the program lists stands for nothing.
"""
import csv
import json
import subprocess
import sys
from pathlib import Path

KINDS = {"router": "routers", "expert": "experts", "loss": "losses"}
SURVEYS = {"inference": "Inference optimisation for MoE (arXiv:2412.14219)", "general": "A survey on mixture of experts (arXiv:2407.06204)"}
HEAD = """# What of the literature is here

Two surveys list the works on mixtures of experts; each row says which router, kind of experts or loss stands for it, as
`polyphony inspect --routers|--experts|--losses` lists them, or why none does. Written by `scripts/coverage.py`; a test
compares it with the registries.
"""


def registered(program):
    """{"router:topk", ...} as the program lists them."""
    names = set()
    for kind, plural in KINDS.items():
        out = subprocess.run([program, "inspect", "--" + plural, "--json"], check=True, capture_output=True, text=True).stdout
        names |= {f"{kind}:{row['name']}" for row in json.loads(out)[plural]}
    return names


def page(rows):
    text = HEAD
    for survey, title in SURVEYS.items():
        of = [row for row in rows if row["survey"] == survey]
        covered = sum(bool(row["covered by"]) for row in of)
        text += f"\n## {title}\n{covered} of {len(of)} rows have a component of their own.\n\n"
        text += "| part | work | here | note |\n|---|---|---|---|\n"
        for row in of:
            names = ", ".join(f"{kind} `{name}`" for kind, name in (c.split(":") for c in row["covered by"].split()))
            text += f"| {row['branch']} | {row['work']} | {names} | {row['note']} |\n"
    return text


def main():
    rows = list(csv.DictReader(Path(__file__).with_suffix(".csv").open()))
    known, used = registered(sys.argv[1]), {name for row in rows for name in row["covered by"].split()}
    problems = [f"coverage.csv names {name}, which is not registered" for name in sorted(used - known)]
    problems += [f"{name} is registered, but stands for nothing in coverage.csv" for name in sorted(known - used)]
    if problems:
        sys.exit("\n".join(problems))
    if sys.argv[2:3] == ["--check"]:
        if Path(sys.argv[3]).read_text() != page(rows):
            sys.exit(f"{sys.argv[3]} is not what scripts/coverage.py {sys.argv[1]} writes")
    else:
        sys.stdout.write(page(rows))


if __name__ == "__main__":
    main()
