#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed pictures of the fuzz target image_header, tests/fuzz/corpus/image_header/, with Pillow."""
import pathlib

from PIL import Image

folder = pathlib.Path(__file__).parents[2] / "tests/fuzz/corpus/image_header"
image = Image.new("RGB", (3, 2), (200, 30, 40))
frames = [Image.new("RGBA", (3, 2), (10 * i, 0, 0, 255)) for i in range(2)]
exif = Image.Exif()
exif[0x0112] = 6
for name in ("png", "bmp", "webp"):
    image.save(folder / f"plain_{name}", format=name)
image.save(folder / "oriented_jpeg", format="jpeg", exif=exif)
image.save(folder / "oriented_webp", format="webp", exif=exif)
image.save(folder / "progressive_jpeg", format="jpeg", progressive=True)
image.convert("P").save(folder / "palette_png", format="png", transparency=0)
image.convert("L").save(folder / "grey_tiff", format="tiff", tiffinfo={0x0112: 3})
image.save(folder / "deflate_tiff", format="tiff", compression="tiff_adobe_deflate")
frames[0].save(folder / "animated_webp", format="webp", save_all=True, append_images=frames[1:])
frames[0].save(folder / "animated_png", format="png", save_all=True, append_images=frames[1:])
