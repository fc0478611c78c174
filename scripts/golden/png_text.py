#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/png_text/ with Pillow.

plain.png  2 x 2 pixels, no text
texts.png  the same with each kind of text chunk; texts.json holds what they say
bomb.png   a zTXt chunk of 16 KB that inflates to 16 MiB
"""
import json
import pathlib

from PIL import Image
from PIL.PngImagePlugin import PngInfo

folder = pathlib.Path(__file__).parents[2] / "tests/golden/png_text"
image = Image.new("RGB", (2, 2), (200, 30, 40))
image.save(folder / "plain.png")

info = PngInfo()
info.add_text("parameters", "a red circle\nSteps: 20, Seed: 7")
info.add_text("Author", "Zoë")  # Latin-1
info.add_text("packed", "packed " * 50, zip=True)
info.add_itxt("prompt", "ein Kreis 円 🎵", lang="de", tkey="Eingabe")
info.add_itxt("packed prompt", "円" * 100, zip=True)
image.save(folder / "texts.png", pnginfo=info)
texts = [["parameters", "a red circle\nSteps: 20, Seed: 7"], ["Author", "Zoë"], ["packed", "packed " * 50],
         ["prompt", "ein Kreis 円 🎵"], ["packed prompt", "円" * 100]]
(folder / "texts.json").write_text(json.dumps(texts) + "\n")

bomb = PngInfo()
bomb.add_text("bomb", "\0" * (16 << 20), zip=True)
bomb.add_text("after", "still read")
image.save(folder / "bomb.png", pnginfo=bomb)
