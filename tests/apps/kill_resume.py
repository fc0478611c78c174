#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a small training run five times with SIGKILL and goes on: losses and weights must equal those of a whole run.

usage: kill_resume.py PROGRAM RECIPE
"""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 40
SETTINGS = {
    "train.max_steps": STEPS, "train.save_steps": 4, "train.logging_steps": 1, "train.sample_minutes": 0,
    "train.warmup_steps": 4, "objective.batch_size": 1,
}


def command(program, recipe, output):
    words = [program, "train", recipe, "--output", str(output), "--resume", "auto", "--threads", "1", "--progress", "none"]
    for key, value in SETTINGS.items():
        words += ["--set", f"{key}={value}"]
    return words


def metrics(output):
    """Step -> what the run measured, without clocks. A line that a kill cut short is the resumed run's business."""
    clocks = ("seconds", "samples_per_second")
    lines = (output / "metrics.jsonl").read_text().splitlines() if (output / "metrics.jsonl").exists() else []
    values = [json.loads(line) for line in lines if line.endswith("}")]
    return {v["step"]: {k: x for k, x in v.items() if k not in clocks} for v in values}


def run_and_kill(words, output, at_step):
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while child.poll() is None and max(metrics(output), default=0) < at_step:
        time.sleep(0.002)
    if child.poll() is not None:
        sys.exit(f"the run ended before step {at_step}: {child.stderr.read()}")
    child.send_signal(signal.SIGKILL)
    child.wait()
    return max(metrics(output), default=0)


def compare(program, recipe, root):
    whole, parts = root / "whole", root / "parts"
    subprocess.run(command(program, recipe, whole), check=True, stdout=subprocess.DEVNULL)
    kills = sorted(random.Random(int(os.environ.get("POLYPHONY_KILL_SEED", "1"))).sample(range(2, STEPS - 2), 5))
    for step in kills:
        print(f"killed after step {run_and_kill(command(program, recipe, parts), parts, step)}")
    subprocess.run(command(program, recipe, parts), check=True, stdout=subprocess.DEVNULL)

    want, got = metrics(whole), metrics(parts)
    wrong = [step for step in range(1, STEPS + 1) if want.get(step) != got.get(step)]
    for step in wrong:
        print(f"step {step}: whole run {want.get(step)}, killed run {got.get(step)}")
    model = "model/diffusion_pytorch_model.safetensors"
    same_weights = (whole / model).read_bytes() == (parts / model).read_bytes()
    print(f"{STEPS} steps, {len(kills)} kills: {STEPS - len(wrong)} losses equal, last {got[STEPS]['loss']!r}; "
          f"exported weights {'equal' if same_weights else 'DIFFER'}")
    if wrong or not same_weights:
        sys.exit(1)


def main():
    with tempfile.TemporaryDirectory(prefix="polyphony_kill_") as folder:
        compare(*sys.argv[1:3], Path(folder))


if __name__ == "__main__":
    main()
