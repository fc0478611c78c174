#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ours against the strongest peers, in turns in one run, on the same weights and inputs.

usage: ./run bench [CASE...] [--quick] [--anyway] [--no-install] [--threads N] [--rounds N] [--output FOLDER]

Peers come from the Python registry into .deps/peers/ (scripts/bench/peers.py) and stay there. A CASE is a name of
--list, or the beginning of one; without one all run. Writes results.json, README.md and ratios.svg into docs/benchmarks; rows of
cases that did not run are kept. A run of all cases also counts instructions (instructions.py) and samples the layer
(profile_layer.py). Outputs of both sides are compared. A busy machine is refused; --anyway marks the rows.
--quick: two rounds, no installation, written to build/bench. A peer that fails is told in its row and stops nothing.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import case_dit_moe
import case_layer
import case_olmoe
import case_train_step
import case_vae
import report
from peers import ROOT
from rows import row
from setting import OURS, SCRIPTS, Setting, busy_share, machine

GROUPS = [case_layer, case_olmoe, case_dit_moe, case_vae, case_train_step]
BESIDE = ["instructions.py", "profile_layer.py"]  # what a whole run counts and samples as well
BUSY = 0.1


def arguments():
    parser = argparse.ArgumentParser(prog="./run bench", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--anyway", action="store_true")
    parser.add_argument("--no-install", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--output", type=Path)
    a = parser.parse_args()
    a.output = a.output or (ROOT / "build" / "bench" if a.quick else ROOT / "docs" / "benchmarks")
    a.rounds = a.rounds or (2 if a.quick else 7)
    return a


def chosen(names, known):
    """The known cases that a name is or begins; every name must fit one."""
    for name in names:
        if not any(case.startswith(name) for case in known):
            sys.exit(f"bench: no case begins with '{name}'; they are: {' '.join(known)}")
    return [case for case in known if not names or any(case.startswith(name) for name in names)]


def measured(group, setting, cases):
    """The group's rows; where it fails as a whole, rows that say why."""
    done = []
    try:
        for entry in group.measure(setting, cases):
            done.append(entry["case"])
            yield entry
    except Exception as error:  # whatever it is, the other groups are worth measuring
        why = f"{type(error).__name__}: {error}"[:300]
        print(f"bench: {group.__name__}: {why}", file=sys.stderr)
        for case in cases:
            if case not in done:
                yield row(case, group.UNIT, {}, OURS, failed={OURS: why})


def main():
    a = arguments()
    known = [case for group in GROUPS for case in group.CASES]
    if a.list:
        print("\n".join(known))
        return
    cases = chosen(a.cases, known)
    busy = busy_share()
    if busy > BUSY and not a.anyway:
        sys.exit(f"bench: expected a quiet machine, got processors that are busy {100 * busy:.0f} % of the time (--anyway measures all the same and marks the rows)")
    a.output.mkdir(parents=True, exist_ok=True)
    file = a.output / "results.json"
    folder = Path(tempfile.mkdtemp(prefix="polyphony-bench-"))
    setting = Setting(folder, a.threads, a.rounds, install=not (a.quick or a.no_install))
    rows = report.kept_rows(file, known)
    try:
        for group in GROUPS:
            wanted = [case for case in group.CASES if case in cases]
            for entry in measured(group, setting, wanted) if wanted else []:
                entry |= {"busy_before": round(busy, 3), "quiet": busy <= BUSY, "rounds": a.rounds, "threads": a.threads, "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}
                rows[entry["case"]] = entry
                print(report.line(entry), flush=True)
                results = {"machine": machine(), "threads": a.threads, "limits": report.rounded(setting.measured_limits), "rows": [rows[case] for case in known if case in rows]}
                report.write(results, a.output)  # after each row: what was measured outlives a crash
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"bench: wrote {file}")
    if not a.quick and not a.cases:
        for script in BESIDE:
            if subprocess.run([SCRIPTS / script]).returncode != 0:
                print(f"bench: {script} failed", file=sys.stderr)


if __name__ == "__main__":
    main()
