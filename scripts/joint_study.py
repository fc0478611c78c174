#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Short comparisons of the joint recipe (configs/train/scenes_joint.toml), each arm one change.

usage: scripts/joint_study.py mixture|recipe PROGRAM [--steps N] [--seeds 1 2 3] [--jobs N] [--output FOLDER]

mixture  dense, one pool of experts, modality groups, modality groups with a shared expert: 448 hidden units a token each
recipe   learning rate, batch, loss weights, data order, experts, tokens a picture
Every run trains on one thread and is judged by `polyphony eval` on held-out scenes of a seed that is used for nothing
else. Finished runs are kept and not repeated. Writes docs/studies/joint_<study>.json: losses (means over the last two
fifths of the steps; clean is the error of the predicted latents, which the loss weight does not change), shares of right
captions, pictures and objects, curves; and a figure of the curves where matplotlib is there.
"""
import argparse
import json
import re
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASE = Path("configs/train/scenes_joint.toml")
LOSSES = {"words": "loss/words", "flow": "loss/flow", "clean": "loss/clean_mse"}
SHARES = {"caption_exact": ("captions", "exact"), "caption_colour": ("captions", "object_colour"), "caption_shape": ("captions", "object_shape"),
          "picture_right": ("pictures", "objects_right"), "picture_colour": ("pictures", "object_colour"),
          "picture_shape": ("pictures", "object_shape")}
NO_GROUPS = {"moe.num_experts": 12, "moe.groups": None}
MIXTURE = {
    "dense": {**NO_GROUPS, "moe.num_experts": 1, "moe.experts_per_token": 1, "moe.expert_hidden": 448, "moe.shared_hidden": 0},
    "one pool": {**NO_GROUPS, "moe.expert_hidden": 224, "moe.shared_hidden": 0},
    "groups": {"moe.expert_hidden": 224, "moe.shared_hidden": 0},
    "groups and shared": {},
}
RECIPE = {
    "shipped": {},
    "learning rate x 0.5": {"train.learning_rate": 7.5e-4},
    "learning rate x 2": {"train.learning_rate": 3e-3},
    "half the batch, twice the steps": {"objective.batch_size": 12, "train.max_steps": 2.0},
    "loss weight 1": {"objective.min_t": 1.0},
    "more noise (t_shift 2)": {"objective.t_shift": 2.0},
    "no balance loss": {"objective.balance_weight": 0.0},
    "8 experts a group": {"experts in each group": 8},
    "36 latent tokens": {"model.latent_patch": 2},
    "an eighth of the scenes, eight times": {"objective.pool_size": 1 / 8},
}


def recipe_text(settings):
    """The base recipe without its groups, or with groups of another size: what --set cannot say."""
    text = BASE.read_text()
    if settings.get("moe.groups", 0) is None:
        text = re.sub(r"\[\[moe\.groups\]\]\n(?:.+\n)+", "", text)
    if "experts in each group" in settings:
        text = re.sub(r"num_experts = \d+", f"num_experts = {settings['experts in each group']}", text)
    return text


def run(job):
    a, arm, settings, seed = job
    folder = a.output / a.study / f"{re.sub('[^a-z0-9]+', '_', arm.lower())}_{seed}"
    done = folder / "result.json"
    if done.exists():
        return json.loads(done.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe_of_arm.toml"
    recipe.write_text(recipe_text(settings))
    steps = round(a.steps * settings.get("train.max_steps", 1))
    pool = round(a.pool * settings.get("objective.pool_size", 1))
    given = {"run.seed": seed, "train.logging_steps": max(1, steps // 100), "train.save_steps": steps, "train.sample_minutes": 0,
             "train.ema_decay": 0.99, "objective.autoencoder": "configs/default_model/vae"}
    given |= {key: value for key, value in settings.items() if "." in key and value is not None}
    given |= {"train.max_steps": steps, "objective.pool_size": pool}
    words = [a.program, "train", str(recipe), "--output", str(folder), "--resume", "auto", "--threads", "1", "--progress", "none"]
    for key, value in given.items():
        words += ["--set", f"{key}={value}"]
    start = time.process_time(), time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start[1]
    subprocess.run([a.program, "eval", "--model", str(folder / "model"), "--count", str(a.count), "--seed", "21", "--guidance", "1.5", "--threads", "1",
                    "--samples", str(folder / "judged"), "--progress", "none"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = json.loads((folder / "judged" / "metrics.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    late = [line for line in lines if line["step"] > 0.6 * steps]
    result = {"seed": seed, "steps": steps, "seconds": round(seconds, 1)}
    result |= {name: statistics.fmean(line[key] for line in late) for name, key in LOSSES.items()}
    result |= {name: metrics[of][share]["rate"] for name, (of, share) in SHARES.items()}
    result["curve"] = {"step": [line["step"] for line in lines][4::5]}
    for name, key in LOSSES.items():
        values = [line[key] for line in lines]
        result["curve"][name] = [round(statistics.fmean(values[i:i + 5]), 5) for i in range(0, len(values) - 4, 5)]
    done.write_text(json.dumps(result))
    print(f"{arm}, seed {seed}: " + ", ".join(f"{name} {result[name]:.4f}" for name in [*LOSSES, *SHARES]), flush=True)
    return result


def summary(rows):
    def of(name):
        values = [row[name] for row in rows]
        return {"mean": statistics.fmean(values), "spread": max(values) - min(values)}
    return {"runs": rows, **{name: of(name) for name in [*LOSSES, *SHARES, "seconds"]}}


def draw(result, file):
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not there: no figure was drawn")
        return
    matplotlib.rcParams |= {"svg.hashsalt": "joint_study", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    for axes, name, label in zip(figure.subplots(1, 2), ("words", "clean"), ("loss of words (nats a token)", "squared error of the predicted latents")):
        for number, (arm, row) in enumerate(result["arms"].items()):
            curve = row["runs"][0]["curve"]
            share = [step / curve["step"][-1] for step in curve["step"]]
            values = [statistics.fmean(point) for point in zip(*(run["curve"][name] for run in row["runs"]))]
            axes.plot(share, values, label=arm, linewidth=1.1, linestyle=("-", "--", ":")[number // 10 % 3], color=f"C{number % 10}")
        axes.set(xlabel="share of the steps", ylabel=label, yscale="log")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=["mixture", "recipe"])
    parser.add_argument("program")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--pool", type=int, default=6144, help="distinct drawn scenes")
    parser.add_argument("--count", type=int, default=200, help="scenes of an evaluation")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", help="only these")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--output", type=Path, default=Path("runs/joint_study"))
    parser.add_argument("--results", type=Path, default=Path("docs/studies"))
    a = parser.parse_args()
    arms = MIXTURE if a.study == "mixture" else RECIPE
    if a.arms:
        if unknown := set(a.arms) - set(arms):
            parser.error(f"unknown arms {sorted(unknown)}; there are {list(arms)}")
        arms = {arm: arms[arm] for arm in a.arms}
    jobs = [(a, arm, settings, seed) for seed in a.seeds for arm, settings in arms.items()]
    with ThreadPoolExecutor(a.jobs) as pool:
        rows = list(pool.map(run, jobs))
    command = f"scripts/joint_study.py {a.study} PROGRAM --steps {a.steps} --pool {a.pool} --count {a.count} --seeds {' '.join(map(str, a.seeds))}"
    result = {"command": command, "arms": {arm: summary([row for job, row in zip(jobs, rows) if job[1] == arm]) for arm in arms}}
    a.results.mkdir(parents=True, exist_ok=True)
    (a.results / f"joint_{a.study}.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(result, a.results / f"joint_{a.study}.svg")
    for arm, row in result["arms"].items():
        print(f"| {arm} | " + " | ".join(f"{row[name]['mean']:.4f} ({row[name]['spread']:.4f})" for name in [*LOSSES, *SHARES]) + " |")


if __name__ == "__main__":
    main()
