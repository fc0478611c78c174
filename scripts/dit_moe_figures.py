# SPDX-License-Identifier: Apache-2.0
"""Numbers and pictures of recorded routing for scripts/dit_moe_digits.py.

A recording is the file that `polyphony generate --record-routing` writes: expert_ids [step, layer, image, patch, K].
Letters of array names: L layer, I image, S step, P patch, E expert, X any of the three.
"""
import json
import math
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

SHUFFLES = 100
STYLE = {"svg.hashsalt": "dit_moe_digits", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 9, "axes.spines.top": False,
         "axes.spines.right": False, "legend.frameon": False, "hatch.linewidth": 0.6}
COLOURS = {"balanced": "#2f5d9b", "free": "#c2703d"}
WIDTH = 8.6  # inches: 826 pixels in a browser


def count_experts(model):
    """From the model's configuration: an expert that is never chosen does not show in a recording."""
    for file in (model / "config.json", model / "transformer" / "config.json"):
        if file.exists():
            return json.loads(file.read_text())["num_experts"]
    raise SystemExit(f"no config.json in {model}")


def count_routing(ids, experts):
    """ids (S, L, I, P, K) -> how often each expert was chosen, LISE and LIPE."""
    steps, layers, images, patches, _ = ids.shape
    s, l, i, p, _ = np.ogrid[tuple(map(slice, ids.shape))]

    def counts(inner, size):
        flat = ((l * images + i) * size + inner) * experts + ids
        return np.bincount(flat.ravel(), minlength=layers * images * size * experts).reshape(layers, images, size, experts)

    return counts(s, steps), counts(p, patches)


def count_run(files, experts):
    """One recording a class -> counts of all pictures; `noise_I` numbers the noise that a picture began from."""
    parts = []
    for file in files:
        recorded = load_file(file)
        if (np.diff(recorded["timesteps"]) >= 0).any():
            raise SystemExit(f"{file}: expected steps from noise to picture, got times {recorded['timesteps']}")
        parts.append(count_routing(recorded["expert_ids"], experts))
    sizes = [part[0].shape[1] for part in parts]
    return {"LISE": np.concatenate([part[0] for part in parts], 1), "LIPE": np.concatenate([part[1] for part in parts], 1),
            "class_I": np.repeat(np.arange(len(files)), sizes), "noise_I": np.concatenate([np.arange(size) for size in sizes])}


def entropy(p, axis=-1):
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis)


def shares(counts_E):
    return counts_E / counts_E.sum(-1, keepdims=True)


def information(counts_XE):
    """I(expert; x) / H(expert) of each table of counts (..., X, E); 0 where one expert has it all."""
    joint_XE = counts_XE / counts_XE.sum((-2, -1), keepdims=True)
    of_expert, of_x = entropy(joint_XE.sum(-2)), entropy(joint_XE.sum(-1))
    both = entropy(joint_XE.reshape(*joint_XE.shape[:-2], -1))
    return np.where(of_expert > 1e-9, of_expert + of_x - both, 0) / np.maximum(of_expert, 1e-9)


def shuffled_within(rng, counts_LIXE):
    """x shuffled for each picture on its own, for all its patches or steps alike."""
    order = rng.permuted(np.tile(np.arange(counts_LIXE.shape[2]), (counts_LIXE.shape[1], 1)), axis=1)
    return np.take_along_axis(counts_LIXE, order[None, :, :, None], axis=2)


def by_class(counts_LIE, class_I):
    return np.stack([counts_LIE[:, class_I == c].sum(1) for c in np.unique(class_I)], 1)


def shuffled_classes(rng, class_I, noise_I):
    """Classes shuffled among the pictures that began from the same noise: without influence of the class, all orders are as likely."""
    out = class_I.copy()
    for noise in np.unique(noise_I):
        out[noise_I == noise] = rng.permutation(class_I[noise_I == noise])
    return out


def with_control(real, shuffled):
    return {"raw": real, "control": shuffled.mean(0), "control_largest": shuffled.max(0), "corrected": real - shuffled.mean(0)}


def measure(counts):
    """All figures of one run; lists run over the layers."""
    rng = np.random.default_rng(0)
    lise, lipe, load_LE = counts["LISE"], counts["LIPE"], counts["LISE"].sum((1, 2))
    experts, chosen = load_LE.shape[-1], lipe.sum(-1).flat[0] / lise.shape[2]  # chosen: K
    told = {"position": with_control(information(lipe.sum(1)),
                                     np.stack([information(shuffled_within(rng, lipe).sum(1)) for _ in range(SHUFFLES)])),
            "step": with_control(information(lise.sum(1)),
                                 np.stack([information(shuffled_within(rng, lise).sum(1)) for _ in range(SHUFFLES)])),
            "class": with_control(information(by_class(lise.sum(2), counts["class_I"])), np.stack(
                [information(by_class(lise.sum(2), shuffled_classes(rng, counts["class_I"], counts["noise_I"])))
                 for _ in range(SHUFFLES)]))}
    of_expert = entropy(shares(load_LE))
    return {"load": shares(load_LE), "load_variation": load_LE.std(-1) / load_LE.mean(-1),
            "unused_experts": (load_LE == 0).sum(-1).tolist(),
            "expert_entropy": of_expert / math.log(experts), "information": told,
            "information_at_most": 1 - math.log(chosen) / np.maximum(of_expert, 1e-9),
            "step_entropy": entropy(shares(lise.sum(1))) / math.log(experts),
            "position_entropy": entropy(shares(lipe.sum(1))).mean(-1) / math.log(experts)}


def title(arm):
    return f"{arm}: balance loss {'on' if arm == 'balanced' else 'off'}"


def save(figure, file):
    figure.savefig(file, metadata={"Date": None, "Creator": None}, facecolor="white")
    # Ids of marks are hashes of the salt; trailing spaces of path data only make noise in a diff.
    file.write_text(re.sub(r"[ \t]+\n", "\n", file.read_text()))
    print(f"{file}: {file.stat().st_size // 1024} KB")


def draw_load(file, by_arm, runs):
    layers, experts = np.shape(runs[by_arm["balanced"][0]]["load"])
    columns = min(4, layers)
    rows = math.ceil(layers / columns)
    figure = Figure((WIDTH, 0.9 + 1.55 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for layer, ax in enumerate(axes.flat):
        if layer >= layers:
            ax.remove()
            continue
        for k, (arm, names) in enumerate(by_arm.items()):
            sorted_RE = 100 * np.stack([np.sort(runs[name]["load"][layer])[::-1] for name in names])
            mean = sorted_RE.mean(0)
            error = np.abs(np.stack([sorted_RE.min(0), sorted_RE.max(0)]) - mean)
            ax.bar(np.arange(experts) + 0.4 * k - 0.2, mean, 0.38, yerr=error, error_kw={"lw": 0.8, "ecolor": "#333333"}, label=arm,
                   edgecolor=COLOURS[arm], **({"facecolor": COLOURS[arm]} if k == 0 else {"facecolor": "white", "hatch": "////"}))
        ax.axhline(100 / experts, color="#333333", lw=0.8, ls=":")
        ax.set_title(f"layer {layer}", loc="left")
        ax.set_xticks(range(experts), range(1, experts + 1))
    figure.supylabel("share of choices, %", fontsize=9)
    figure.supxlabel("experts of a run, the busiest first (dotted: even load; thin lines: lowest and highest seed)", fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, map(title, labels), loc="outside upper left", ncols=2)
    save(figure, file)


def draw_steps(file, by_arm, runs):
    figure = Figure((WIDTH, 3.9), layout="constrained")
    axes = figure.subplots(1, len(by_arm), sharey=True, squeeze=False)[0]
    for ax, (arm, names) in zip(axes, by_arm.items()):
        mean_LS = np.mean([runs[name]["step_entropy"] for name in names], axis=0)
        layers, steps = mean_LS.shape
        for layer, line_S in enumerate(mean_LS):
            colour = matplotlib.colormaps["viridis"](0.8 * layer / max(1, layers - 1))
            ax.plot(np.arange(1, steps + 1), line_S, color=colour, lw=1.3, ls=["-", "--", "-.", ":"][layer % 4],
                    marker="osD^vPX*<>hp"[layer % 12], ms=4.5, label=f"layer {layer}",
                    markevery=(round(layer * steps / layers / 6), max(1, steps // 6)))
        ax.set_title(title(arm), loc="left")
        ax.set_xlabel("denoising step (first: noise, last: picture)")
        ax.grid(axis="y", lw=0.4, color="#dddddd")
    axes[0].set_ylabel("entropy of the experts' use / log E")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(6, layers), handlelength=3.5)
    save(figure, file)


def frame(ax):
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, linewidth=0.5, color="#777777")


def draw_positions(file, counts_LIPE):
    """Of one run: the first and the last layer, each position's favourite expert and each expert's share there."""
    share_LPE = shares(counts_LIPE.sum(1))
    layers, patches, experts = share_LPE.shape
    side = math.isqrt(patches)
    if side * side != patches:
        raise SystemExit(f"expected a square grid of patches, got {patches}")
    shown, columns = sorted({0, layers - 1}), min(8, experts)
    rows, top = math.ceil(experts / columns), 100 * share_LPE[[0, -1]].max()
    figure = Figure((WIDTH, 4.1 + 1.25 * rows * len(shown)), layout="constrained")
    parts = figure.subfigures(1 + len(shown), 1, height_ratios=[4.1] + [1.25 * rows] * len(shown))
    scale = {"cmap": "Blues", "vmin": 0, "vmax": top, "interpolation": "nearest"}
    for ax, layer in zip(np.atleast_1d(parts[0].subplots(1, len(shown))), shown):
        best_P, most_P = share_LPE[layer].argmax(-1), 100 * share_LPE[layer].max(-1)
        image = ax.imshow(most_P.reshape(side, side), **scale)
        for p in range(patches):
            ax.text(p % side, p // side, str(best_P[p]), ha="center", va="center", color="white" if most_P[p] > 0.55 * top else "#1d2733")
        ax.set_title(f"layer {layer}{' (first)' if layer == 0 else ' (last)'}: expert chosen most at each position", loc="left")
        frame(ax)
    parts[0].colorbar(image, ax=parts[0].axes, label="share of choices, %", shrink=0.9, aspect=25)
    for part, layer in zip(parts[1:], shown):
        axes = part.subplots(rows, columns, squeeze=False)
        for expert, ax in enumerate(axes.flat):
            if expert >= experts:
                ax.remove()
                continue
            ax.imshow(100 * share_LPE[layer, :, expert].reshape(side, side), **scale)
            frame(ax)
            ax.set_title(f"expert {expert}", loc="left", pad=3)
        axes[0, 0].set_ylabel(f"layer {layer}")
    save(figure, file)


def smoothed(values, width):
    width = max(1, min(width, len(values)))
    total = np.cumsum(np.concatenate([[0.0], values]))
    return (total[width:] - total[:-width]) / width


def draw_loss(file, by_arm, curves):
    figure = Figure((WIDTH, 3.3), layout="constrained")
    ax = figure.subplots()
    for arm, names in by_arm.items():
        steps = sorted(set.intersection(*(set(curves[name]) for name in names)))
        width = max(1, len(steps) // 25)
        lines_RS = np.stack([smoothed([curves[name][step] for step in steps], width) for name in names])
        at, thin = np.array(steps[width - 1:]), slice(None, None, max(1, lines_RS.shape[1] // 250))
        style = {"color": COLOURS[arm], "ls": "-" if arm == "balanced" else (0, (5, 2))}
        ax.plot(at[thin], lines_RS.mean(0)[thin], lw=1.5, label=title(arm), **style)
        ax.fill_between(at[thin], lines_RS.min(0)[thin], lines_RS.max(0)[thin], color=COLOURS[arm], alpha=0.15, lw=0)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
    ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="training step", ylabel="flow loss, mean of the last steps")
    ax.grid(axis="y", lw=0.4, color="#dddddd")
    ax.legend(title="mean of the seeds; band: lowest to highest", alignment="left")
    save(figure, file)


def draw_all(stem, by_arm, runs, counts, curves):
    with matplotlib.rc_context(STYLE):
        draw_load(stem.with_name(f"{stem.name}_load.svg"), by_arm, runs)
        draw_steps(stem.with_name(f"{stem.name}_steps.svg"), by_arm, runs)
        draw_positions(stem.with_name(f"{stem.name}_positions.svg"), counts[by_arm["balanced"][0]]["LIPE"])
        draw_loss(stem.with_name(f"{stem.name}_loss.svg"), by_arm, curves)


def draw_sheet(file, pictures, columns=12, pixels=40, gap=4):
    """A row of pictures for each label, magnified without smoothing."""
    pitch = pixels + gap
    sheet = Image.new("L", (pitch * (columns + 1) + gap, pitch * len(pictures) + gap), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for row, (label, files) in enumerate(pictures.items()):
        pen.text((pitch // 2, gap + pitch * row + pixels // 2), label, fill=40, font=font, anchor="mm")
        for column, picture in enumerate(files[:columns]):
            tile = Image.open(picture).convert("L").resize((pixels, pixels), Image.Resampling.NEAREST)
            sheet.paste(tile, (pitch * (column + 1), gap + pitch * row))
    sheet.save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KB")
