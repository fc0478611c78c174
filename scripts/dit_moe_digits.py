#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tiny DiT-MoE on 8x8 digits with the balance loss on and off: what do its experts choose by?

usage: scripts/dit_moe_digits.py all PROGRAM [--steps N] [--seeds 1 2 3] [--parallel 2]
       scripts/dit_moe_digits.py export | train PROGRAM | sample PROGRAM | analyse      the parts of `all`; what is done is skipped
Needs numpy, scikit-learn, matplotlib, pillow and safetensors.

Both arms of a seed have the same recipe, data and noise; they differ in aux_loss_alpha alone. RULES were written before any run
was made. They ask whether the findings of the DiT-MoE paper (arXiv:2407.11633) appear: a rule is found when every seed meets it,
not found otherwise, reversed when every seed shows the opposite at the same size, and not judged below MIN_SEEDS seeds.

What the rules speak of; assignments are the K choices of each patch, layer, step and picture, unweighted, of the conditional half:
- I(expert; x) is the mutual information of an assignment's expert and its position, step or class, over the expert's entropy, minus
  the mean of the same figure after shuffling x: positions or steps within each picture, classes among pictures of the same noise.
  With K distinct experts a patch it stays below 1 - log K / log E at even load; the table says how high it can be.
- Step entropy is the entropy of the experts' use at one step, over all pictures and positions, divided by log E.
- Shallow and deep layers are the first and the last half of the layers; "over layers" is the mean of all.
- Load variation is the standard deviation of the experts' shares of assignments over their mean, in sampling.
"""
import argparse
import json
import math
import platform
import re
import shlex
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import dit_moe_figures as figures
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

ARMS = {"balanced": 0.01, "free": 0}  # aux_loss_alpha
SPLIT_SEED = 0
RECIPE = "configs/train/dit_moe_digits.toml"
TRAIN = f"PROGRAM train {RECIPE} --output RUNS/{{run}} --resume auto --threads 1 --progress none --set run.seed={{seed}}" \
        " --set train.max_steps={steps} --set model.aux_loss_alpha={alpha} --set objective.images=DATA/train"
SAMPLE = "PROGRAM generate --model RUNS/{run}/model --class {label} --count {count} --steps {denoising_steps} --guidance {guidance}" \
         " --seed {noise_seed} --record-routing RUNS/samples/{run}/{label}/routing.safetensors" \
         " --output RUNS/samples/{run}/{label}/out.png --overwrite --progress none"

MIN_SEEDS = 3
SMALL = 0.005  # a share of the expert's entropy too small to divide by: ratios use at least this
EARLY, LATE = 1 / 5, 3 / 5  # of the steps: the first 50 of the paper's 250, and those after its 100th
# name: claim, what is measured, sense, bound, bound of the opposite. The last three compare the arms seed by seed.
RULES = {
    "positions_shallow": ("experts prefer positions in shallow layers", "I(expert; position), shallow layers", ">=", 0.05, None),
    "positions_fade": ("... and get diffuse in deep ones", "I(expert; position), shallow over deep layers", ">=", 1.5, 1 / 1.5),
    "steps_concentrate": ("choice is concentrated in early steps",
                          "step entropy over layers, last 3/5 of the steps minus first 1/5", ">=", 0.05, -0.05),
    "steps_late_even": ("... and uniform later", "step entropy over layers, last 3/5 of the steps", ">=", 0.95, None),
    "class_insensitive": ("insensitive to the class", "I(expert; class) over layers", "<=", 0.01, None),
    "position_over_class": ("position says more than class", "I(expert; position) / I(expert; class) over layers", ">=", 3, 1 / 3),
    "step_over_class": ("the step says more than class", "I(expert; step) / I(expert; class) over layers", ">=", 3, 1 / 3),
    "load_even": ("load is even", "load variation over layers", "<=", 0.3, None),
    "digits_recognised": ("samples show the class asked for", "share that the SVM recognises", ">=", 0.7, None),
    "balance_evens": ("the balance loss evens the load", "load variation over layers, free minus balanced", ">=", 0.1, -0.1),
    "balance_costs_little": ("... at no cost in loss", "final flow loss, balanced over free, minus 1", "<=", 0.01, None),
    "balance_keeps_digits": ("... nor in the digits", "share recognised, balanced minus free", ">=", -0.05, None),
}
PAIRED = ("balance_evens", "balance_costs_little", "balance_keeps_digits")


def export(a):
    """The digits as pictures, PART/CLASS/NNNN.png with NNNN the number in the original set."""
    if (a.data / "split.json").exists():
        return print(f"{a.data} is there already")
    digits = load_digits()
    parts = train_test_split(np.arange(len(digits.target)), test_size=0.2, stratify=digits.target, random_state=SPLIT_SEED)
    for name, chosen in zip(("train", "test"), parts):
        for i in sorted(chosen):
            file = a.data / name / str(digits.target[i]) / f"{i:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.rint(digits.images[i] * 255 / 16).astype(np.uint8)).save(file)
    split = {"train": len(parts[0]), "test": len(parts[1]), "seed": SPLIT_SEED}
    (a.data / "split.json").write_text(json.dumps(split) + "\n")
    print(f"{a.data}: {split['train']} digits to train on, {split['test']} to test with")


def fill(word, a):
    values = {"PROGRAM": a.program, "RUNS": a.output, "DATA": a.data}
    return re.sub(r"\b(PROGRAM|RUNS|DATA)\b", lambda found: str(values[found[0]]), word)


def run_once(command, marker, settings, a):
    """Runs the command unless its marker says that it ran with these settings; the marker is written after success."""
    done = json.loads(marker.read_text()) if marker.exists() else None
    wanted = {"command": command, "settings": settings}
    if done and all(done[key] == value for key, value in wanted.items()):
        return print("done before:", command, flush=True)
    print("running:", command, flush=True)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    if subprocess.run([fill(word, a) for word in command.split()], stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(f"failed: {shlex.join(fill(word, a) for word in command.split())}")
    marker.write_text(json.dumps(wanted | {"version": a.version}, indent=2) + "\n")


def run_all(jobs, a):
    a.version = subprocess.run([a.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    with ThreadPoolExecutor(a.parallel) as pool:
        list(pool.map(lambda job: run_once(*job, a), jobs))


def runs_of(a):
    return [(arm, seed, f"{arm}_{seed}") for seed in a.seeds for arm in ARMS]


def labels_of(a):
    return sorted(folder.name for folder in (a.data / "train").iterdir() if folder.is_dir())


def train(a):
    run_all([(TRAIN.format(run=run, seed=seed, steps=a.steps, alpha=ARMS[arm]), a.output / f"{run}.json", {})
             for arm, seed, run in runs_of(a)], a)


def sample(a):
    asked = {key: getattr(a, key) for key in ("count", "denoising_steps", "guidance", "noise_seed")}
    jobs = []
    for _, _, run in runs_of(a):
        trained = json.loads((a.output / f"{run}.json").read_text())["command"]  # another model: sample again
        for label in labels_of(a):
            (a.output / "samples" / run / label).mkdir(parents=True, exist_ok=True)
            jobs.append((SAMPLE.format(run=run, label=label, **asked), a.output / "samples" / run / f"{label}.json",
                         {"trained": trained, **asked}))
    run_all(jobs, a)


def pixels(files):
    return np.stack([np.asarray(Image.open(file).convert("L")).ravel() for file in files]) * (16 / 255)


def train_svm(a):
    """A judge of digits, and its accuracy on the test part."""
    x, y = {}, {}
    for part in ("train", "test"):
        files = sorted((a.data / part).glob("*/*.png"))
        x[part], y[part] = pixels(files), [file.parent.name for file in files]
    svm = SVC(gamma=0.001, C=10).fit(x["train"], y["train"])
    return svm, svm.score(x["test"], y["test"])


def wilson(right, of, z=1.96):
    centre, half = right / of + z * z / (2 * of), z * math.sqrt(right * (of - right) / of**3 + z * z / (4 * of * of))
    return [(centre - half) / (1 + z * z / of), (centre + half) / (1 + z * z / of)]


def pictures(a, run, label):
    return [a.output / "samples" / run / label / f"out-{i + 1}.png" for i in range(a.count)]


def read_metrics(folder):
    """Step -> measurements; a line that a kill cut short was written again by the resumed run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    values = [json.loads(line) for line in lines if line.endswith("}")]
    return dict(sorted({value["step"]: value for value in values}.items()))


def last_tenth(metrics):
    """Means of all that was measured in the last tenth of the steps, but for clocks."""
    last = max(metrics)
    late = [value for step, value in metrics.items() if step > 0.9 * last]
    clocks = ("step", "seconds", "samples_per_second")
    return {key: statistics.fmean(value[key] for value in late) for key in late[-1] if key not in clocks}


def study_run(a, run, experts, svm):
    counts = figures.count_run([a.output / "samples" / run / label / "routing.safetensors" for label in labels_of(a)], experts)
    measured = figures.measure(counts)
    right = {label: int((svm.predict(pixels(pictures(a, run, label))) == label).sum()) for label in labels_of(a)}
    metrics = read_metrics(a.output / run)
    measured |= {"final": last_tenth(metrics), "right_by_class": right,
                 "accuracy": sum(right.values()) / (a.count * len(right))}
    measured["scalars"] = scalars(measured)
    return measured, counts, {step: value["loss/flow"] for step, value in metrics.items() if "loss/flow" in value}


def scalars(measured):
    """The figures of the rules that look at one run."""
    corrected = {about: np.array(measured["information"][about]["corrected"]) for about in ("position", "step", "class")}
    entropy_S = np.mean(measured["step_entropy"], axis=0)
    half = len(corrected["position"]) // 2 or 1
    shallow, deep = corrected["position"][:half].mean(), corrected["position"][-half:].mean()
    early, late = entropy_S[:max(1, round(EARLY * len(entropy_S)))].mean(), entropy_S[-max(1, round(LATE * len(entropy_S))):].mean()
    by_class = max(corrected["class"].mean(), SMALL)
    return {"positions_shallow": shallow, "positions_fade": max(shallow, SMALL) / max(deep, SMALL), "steps_concentrate": late - early,
            "steps_late_even": late, "class_insensitive": corrected["class"].mean(),
            "position_over_class": max(corrected["position"].mean(), SMALL) / by_class,
            "step_over_class": max(corrected["step"].mean(), SMALL) / by_class,
            "load_even": float(np.mean(measured["load_variation"])), "digits_recognised": measured["accuracy"]}


def pair_scalars(balanced, free):
    return {"balance_evens": free["scalars"]["load_even"] - balanced["scalars"]["load_even"],
            "balance_costs_little": balanced["final"]["loss/flow"] / free["final"]["loss/flow"] - 1,
            "balance_keeps_digits": balanced["accuracy"] - free["accuracy"]}


def judge(name, values):
    """values: one a seed."""
    sense, bound, opposite = RULES[name][2:]
    met = sum(value >= bound if sense == ">=" else value <= bound for value in values)
    verdict = "found" if met == len(values) else "not found"
    if opposite is not None and all(value <= opposite for value in values):
        verdict = "reversed"
    if len(values) < MIN_SEEDS:
        verdict = "not judged"
    return {"per_seed": values, "mean": statistics.fmean(values), "seeds_that_meet_it": met, "verdict": verdict}


def verdicts(runs, seeds):
    table = {}
    for name, (claim, measured, sense, bound, _) in RULES.items():
        table[name] = {"claim": claim, "measured": measured, "rule": f"{sense} {bound:g} in every seed"}
        if name in PAIRED:
            table[name]["pairs"] = judge(name, [pair_scalars(runs[f"balanced_{s}"], runs[f"free_{s}"])[name] for s in seeds])
        else:
            table[name] |= {arm: judge(name, [runs[f"{arm}_{s}"]["scalars"][name] for s in seeds]) for arm in ARMS}
    return table


def markdown(table):
    """`balanced` is the paper's setting; its verdict is the answer."""
    yield "| finding | measured | rule | balanced | free |\n|---|---|---|---|---|"
    for row in table.values():
        cells = [f"**{r['verdict']}**: {r['mean']:.3g} ({', '.join(f'{v:.3g}' for v in r['per_seed'])})"
                 for r in (row.get("pairs"), row.get("balanced"), row.get("free")) if r] + [""]
        yield f"| {row['claim']} | {row['measured']} | {row['rule'].split(' in')[0]} | {cells[0]} | {cells[1]} |"


def layer_table(runs, a):
    """Means over the seeds, corrected, in percent of the expert's entropy; balanced / free."""
    yield "| layer | position | step | class | load variation |\n|---|---|---|---|---|"

    def both(look):
        return " / ".join(f"{np.mean([look(runs[f'{arm}_{seed}']) for seed in a.seeds]):.3g}" for arm in ARMS)

    for layer in range(len(runs[f"balanced_{a.seeds[0]}"]["load"])):
        told = [both(lambda r, about=about: 100 * r["information"][about]["corrected"][layer]) for about in ("position", "step", "class")]
        yield f"| {layer} | {' | '.join(told)} | {both(lambda r: r['load_variation'][layer])} |"


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    return float(f"{value:.5g}") if isinstance(value, (float, np.floating)) else value


def as_json(value):
    """Indented, with each list of numbers on one line."""
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"),
                  json.dumps(rounded(value), indent=1)) + "\n"


def arm_summary(runs, a, arm):
    mine = [runs[f"{arm}_{seed}"] for seed in a.seeds]
    right, of = sum(sum(r["right_by_class"].values()) for r in mine), a.count * len(labels_of(a)) * len(mine)
    flow = [r["final"]["loss/flow"] for r in mine]
    return {"aux_loss_alpha": ARMS[arm], "digits_right": right, "digits": of, "accuracy": right / of,
            "accuracy_wilson_95": wilson(right, of),
            "final_flow_loss": {"mean": statistics.fmean(flow), "spread": max(flow) - min(flow), "per_seed": flow}}


def analyse(a):
    first = a.output / "samples" / f"balanced_{a.seeds[0]}"
    trained = json.loads((a.output / f"{first.name}.json").read_text())
    sampled = json.loads((first / f"{labels_of(a)[0]}.json").read_text())
    a.count = sampled["settings"]["count"]
    svm, test_accuracy = train_svm(a)
    runs, counts, curves = {}, {}, {}
    for _, _, run in runs_of(a):
        print("analysing", run, flush=True)
        runs[run], counts[run], curves[run] = study_run(a, run, figures.count_experts(a.output / run / "model"), svm)
    steps = int(re.search(r"max_steps=(\d+)", trained["command"])[1])
    table = verdicts(runs, a.seeds)
    result = {"command": f"scripts/dit_moe_digits.py all PROGRAM --steps {steps} --seeds {' '.join(map(str, a.seeds))}",
              "train": trained["command"], "sample": sampled["command"],
              "versions": {"program": trained["version"], "python": platform.python_version(),
                           **{name: version(name) for name in ("numpy", "scikit-learn", "matplotlib", "pillow", "safetensors")}},
              "settings": {"steps": steps, "seeds": a.seeds, "arms": ARMS, "data": json.loads((a.data / "split.json").read_text()),
                           "shuffles": figures.SHUFFLES, "early": EARLY, "late": LATE, "small": SMALL, **sampled["settings"]},
              "svm_test_accuracy": test_accuracy, "findings": table,
              "arms": {arm: arm_summary(runs, a, arm) for arm in ARMS}, "runs": runs}
    del result["settings"]["trained"]
    a.result.parent.mkdir(parents=True, exist_ok=True)
    a.result.write_text(as_json(result))
    a.figures.mkdir(parents=True, exist_ok=True)
    by_arm = {arm: [f"{arm}_{seed}" for seed in a.seeds] for arm in ARMS}
    figures.draw_all(a.figures / "dit_moe_digits", by_arm, runs, counts, curves)
    figures.draw_sheet(a.figures / "dit_moe_digits.png", {label: pictures(a, first.name, label) for label in labels_of(a)})
    print(f"\nSVM on the test part: {test_accuracy:.3f}")
    for arm, row in result["arms"].items():
        low, high = row["accuracy_wilson_95"]
        print(f"{arm}: {row['accuracy']:.3f} of the samples recognised (95 % {low:.3f} to {high:.3f}), final flow loss "
              f"{row['final_flow_loss']['mean']:.4f} (spread {row['final_flow_loss']['spread']:.4f})")
    print(*markdown(table), "", *layer_table(runs, a), sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"export": [export], "train": [train], "sample": [sample], "analyse": [analyse], "all": [export, train, sample, analyse]}
    commands = parser.add_subparsers(dest="part", required=True)
    for name in parts:
        c = commands.add_parser(name)
        if name in ("train", "sample", "all"):
            c.add_argument("program")
        else:
            c.set_defaults(program="")
        if name == "export":
            c.add_argument("data", type=Path, nargs="?", default=Path("runs/dit_moe_digits/data"))
            continue
        c.add_argument("--data", type=Path, default=Path("runs/dit_moe_digits/data"))
        c.add_argument("--output", type=Path, default=Path("runs/dit_moe_digits"), help="folder of the runs")
        c.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
        c.add_argument("--steps", type=int, default=4000, help="of training")
        c.add_argument("--parallel", type=int, default=1, help="processes at once")
        c.add_argument("--count", type=int, default=20, help="samples of each class")
        c.add_argument("--denoising-steps", type=int, default=50)
        c.add_argument("--guidance", type=float, default=2)
        c.add_argument("--noise-seed", type=int, default=1000)
        c.add_argument("--result", type=Path, default=Path("docs/studies/dit_moe_digits.json"))
        c.add_argument("--figures", type=Path, default=Path("docs/images"))
    a = parser.parse_args()
    for part in parts[a.part]:
        part(a)


if __name__ == "__main__":
    main()
