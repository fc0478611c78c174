#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mixture against dense at equal active size and equal steps: short runs of both recipes for several seeds.

usage: scripts/moe_vs_dense.py PROGRAM [--steps N] [--seeds 1 2] [--output FOLDER] [--result FILE]
Writes a JSON table of each run's mean losses over its last tenth, and the mean and spread of each arm.
"""
import argparse
import json
import statistics
import subprocess
from pathlib import Path

RECIPES = {"mixture": "configs/train/scenes_joint.toml", "dense": "configs/train/scenes_joint_dense.toml"}
LOSSES = {"words": "loss/words", "flow": "loss/flow", "clean_mse": "loss/clean_mse"}


def train(program, arm, seed, steps, folder):
    """Two runs at once, one thread each: nothing waits for a barrier."""
    words = [program, "train", RECIPES[arm], "--output", str(folder), "--resume", "auto", "--threads", "1",
             "--progress", "none"]
    settings = {"run.seed": seed, "train.max_steps": steps, "train.logging_steps": 5, "train.save_steps": steps,
                "train.sample_minutes": 0, "objective.pool_size": 6144, "objective.autoencoder": "configs/default_model/vae"}
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def last_tenth(folder, steps):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    late = [line for line in lines if line["step"] > 0.9 * steps]
    return {name: statistics.fmean(line[key] for line in late) for name, key in LOSSES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/moe_vs_dense"))
    parser.add_argument("--result", type=Path, default=Path("docs/studies/moe_vs_dense.json"))
    a = parser.parse_args()
    runs = {arm: [] for arm in RECIPES}
    for seed in a.seeds:
        folders = {arm: a.output / f"{arm}_{seed}" for arm in RECIPES}
        children = [train(a.program, arm, seed, a.steps, folders[arm]) for arm in RECIPES]
        if any(child.wait() for child in children):
            raise SystemExit("a run failed")
        for arm, folder in folders.items():
            runs[arm].append({"seed": seed, **last_tenth(folder, a.steps)})
    arms = {arm: {"runs": rows, **{name: {"mean": statistics.fmean(r[name] for r in rows),
                                          "spread": max(r[name] for r in rows) - min(r[name] for r in rows)}
                                   for name in LOSSES}} for arm, rows in runs.items()}
    a.result.parent.mkdir(parents=True, exist_ok=True)
    command = f"scripts/moe_vs_dense.py PROGRAM --steps {a.steps} --seeds {' '.join(map(str, a.seeds))}"
    a.result.write_text(json.dumps({"command": command, "steps": a.steps, "arms": arms}, indent=2) + "\n")
    for arm, row in arms.items():
        print(arm, *(f"{name} {row[name]['mean']:.4f} (spread {row[name]['spread']:.4f})" for name in LOSSES), sep="  ")


if __name__ == "__main__":
    main()
