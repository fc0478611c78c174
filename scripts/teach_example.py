#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example of docs/teach.md: a folder of captioned pictures in a colour that the shipped model has never seen.

usage: scripts/teach_example.py pictures FOLDER
       scripts/teach_example.py judge PROGRAM MODEL [--result FILE]

pictures  writes 50 pictures of one or two teal objects with their captions: circles, squares, triangles and diamonds
judge     draws 60 prompts with teal objects whose place the folder never has for that shape, and the same number of teal
          crosses, a shape that it never has in teal; reads the colour at the asked place (nearest of nine), and captions
          true pictures of the same scenes. Needs Pillow.
"""
import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

TEAL = (0, 150, 150)
COLOURS = {"red": (222, 30, 38), "orange": (255, 140, 0), "yellow": (252, 222, 20), "green": (30, 150, 50), "blue": (40, 90, 235),
           "purple": (140, 40, 170), "pink": (255, 110, 185), "brown": (125, 70, 30), "teal": TEAL}
BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (150, 150, 150), "beige": (235, 222, 190), "navy": (15, 25, 75)}
PLACES = ["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"]
RADII = {"small": 7.0, "large": 12.0}
SIDE, CELL, FINER = 96, 32, 8


def outline(shape, x, y, r):
    if shape == "square":
        return [(x - 0.9 * r, y - 0.9 * r), (x + 0.9 * r, y - 0.9 * r), (x + 0.9 * r, y + 0.9 * r), (x - 0.9 * r, y + 0.9 * r)]
    if shape == "triangle":
        return [(x, y - 0.97 * r), (x + 1.12 * r, y + 0.97 * r), (x - 1.12 * r, y + 0.97 * r)]
    if shape == "diamond":
        return [(x, y - 1.15 * r), (x + 1.15 * r, y), (x, y + 1.15 * r), (x - 1.15 * r, y)]
    a = 0.34 * r
    return [(x - a, y - r), (x + a, y - r), (x + a, y - a), (x + r, y - a), (x + r, y + a), (x + a, y + a), (x + a, y + r),
            (x - a, y + r), (x - a, y + a), (x - r, y + a), (x - r, y - a), (x - a, y - a)]


def picture(background, objects):
    image = Image.new("RGB", (SIDE * FINER,) * 2, BACKGROUNDS[background])
    pen = ImageDraw.Draw(image)
    for size, colour, shape, place in objects:
        x, y, r = [FINER * v for v in (place % 3 * CELL + CELL / 2, place // 3 * CELL + CELL / 2, RADII[size])]
        if shape == "circle":
            pen.ellipse([x - r, y - r, x + r, y + r], fill=COLOURS[colour])
        else:
            pen.polygon(outline(shape, x, y, r), fill=COLOURS[colour])
    return image.resize((SIDE, SIDE), Image.BOX)


def words(background, objects):
    names = [f"a {size} {colour} {shape} at the {PLACES[place]}" for size, colour, shape, place in objects]
    return " and ".join(names) + f" on a {background} background"


def scenes(shapes, places_of, count, seed):
    """One or two objects, the first of them teal; the other has any of the old colours."""
    dice = random.Random(seed)
    for i in range(count):
        shape = shapes[i % len(shapes)]
        place = dice.choice(places_of(shape))
        objects = [(dice.choice(list(RADII)), "teal", shape, place)]
        if i % 2:
            other = dice.choice([p for p in range(9) if p != place])
            objects.append((dice.choice(list(RADII)), dice.choice(list(COLOURS)[:-1]), dice.choice(["circle", "square", "triangle"]), other))
        yield dice.choice(list(BACKGROUNDS)), objects


TAUGHT = ["circle", "square", "triangle", "diamond"]


def taught_places(shape):  # two thirds of them; the rest is kept for judging
    return [p for p in range(9) if (p + TAUGHT.index(shape)) % 3]


def new_places(shape):
    return [p for p in range(9) if shape not in TAUGHT or p not in taught_places(shape)]


def write_pictures(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i, scene in enumerate(scenes(TAUGHT, taught_places, 50, seed=1)):
        picture(*scene).save(folder / f"teal-{i:02}.png")
        (folder / f"teal-{i:02}.txt").write_text(words(*scene) + "\n")
    print(f"50 pictures and captions in {folder}")


def nearest(rgb):
    return min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(rgb, COLOURS[name])))


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def judge(program, model, result):
    tests = {"teal at new places": list(scenes(TAUGHT, new_places, 60, seed=2)), "teal crosses": list(scenes(["cross"], new_places, 60, seed=3))}
    report = {"command": f"scripts/teach_example.py judge PROGRAM {model}"}
    for name, cases in tests.items():
        drawn = said = exact = 0
        with tempfile.TemporaryDirectory() as folder:
            requests = [{"prompt": words(*scene), "seed": i, "id": f"{i}"} for i, scene in enumerate(cases)]
            jobs = Path(folder) / "jobs.jsonl"
            jobs.write_text("".join(json.dumps(r) + "\n" for r in requests))
            run(program, "batch", str(jobs), "--model", str(model), "--output", f"{folder}/drawn", "--progress", "none")
            for i, (background, objects) in enumerate(cases):
                place = objects[0][3]
                image = Image.open(Path(folder) / "drawn" / f"{i}.png").convert("RGB")
                drawn += nearest(image.getpixel((place % 3 * CELL + CELL // 2, place // 3 * CELL + CELL // 2))) == "teal"
                true = Path(folder) / f"true-{i}.png"
                picture(background, objects).save(true)
            captions = json.loads(run(program, "caption", *[str(Path(folder) / f"true-{i}.png") for i in range(len(cases))], "--model", str(model),
                                      "--json", "--progress", "none"))["results"]
            for row, (background, objects) in zip(captions, cases):
                said += "teal" in row["caption"]
                exact += "teal " + objects[0][2] in row["caption"]
        report[name] = {"pictures": len(cases), "drawn_teal": drawn / len(cases), "caption_says_teal": said / len(cases),
                        "caption_says_teal_and_the_shape": exact / len(cases)}
    print(json.dumps(report, indent=1))
    if result:
        result.write_text(json.dumps(report, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pictures").add_argument("folder", type=Path)
    judging = commands.add_parser("judge")
    judging.add_argument("program")
    judging.add_argument("model", type=Path)
    judging.add_argument("--result", type=Path)
    a = parser.parse_args()
    if a.command == "pictures":
        write_pictures(a.folder)
    else:
        judge(a.program, a.model, a.result)


if __name__ == "__main__":
    main()
