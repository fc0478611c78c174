# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/image: small files of every format and variant (Pillow, or bytes written here), the RGB pixels that
the rules of modalities/image/decode.h give for them (Pillow and numpy), and antialiased resizes (torch)."""
import io
import pathlib
import struct
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "image"
FILES = OUT / "files"
rng = np.random.default_rng(7)
expected = {}


def smooth(height=10, width=14, channels=3):
    """A smooth picture, so that lossy codecs stay close."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin((x * (c + 1) + y * (2 - c / 2)) / 7.0) for c in range(channels)]
    return np.stack(planes, -1).round().clip(0, 255).astype(np.uint8)


def over_white(rgb, alpha):
    return (255 - ((255 - rgb.astype(int)) * alpha[..., None].astype(int) + 127) // 255).astype(np.uint8)


def to_8(values):
    return ((values.astype(int) + 128) // 257).astype(np.uint8)


def grey_rgb(grey):
    return np.repeat(grey[..., None], 3, -1)


def put(name, data, pixels):
    (FILES / name).write_bytes(data)
    expected[name] = np.ascontiguousarray(pixels.astype(np.uint8))


def save(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array, depth, colour, extra=b""):
    height, width = array.shape[:2]
    if depth < 8:
        rows = [np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:].ravel()).tobytes()
                for row in array]
    else:
        rows = [row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in array]
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) +
            extra + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def exif(orientation, order="<"):
    head = b"II*\0" if order == "<" else b"MM\0*"
    return (b"Exif\0\0" + head + struct.pack(order + "I", 8) + struct.pack(order + "H", 1) +
            struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(order + "I", 0))


def turned(upright, orientation):
    """The stored pixels from which `orientation` makes `upright`."""
    inverse = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
               5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
               8: lambda a: np.rot90(a, -1)}
    return np.ascontiguousarray(inverse[orientation](upright))


def tiff(tags, data, order="<"):
    """One page; tags: {tag: (type, [values])}, data at offset 8, directory after it."""
    tags = dict(sorted(tags.items()))
    ifd = 8 + len(data) + len(data) % 2
    extra_at = ifd + 2 + 12 * len(tags) + 4
    body, extra = struct.pack(order + "H", len(tags)), b""
    for tag, (kind, values) in tags.items():
        packed = struct.pack(order + {1: "B", 3: "H", 4: "I"}[kind] * len(values), *values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        body += struct.pack(order + "HHI", tag, kind, len(values)) + field
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", ifd) + data + b"\0" * (len(data) % 2) + body + struct.pack(order + "I", 0) + extra


def tiff_of(array, order="<", **more):
    height, width, channels = array.shape
    depth = array.dtype.itemsize * 8
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    tags = {256: (3, [width]), 257: (3, [height]), 258: (3, [depth] * channels), 259: (3, [1]),
            262: (3, [2 if channels >= 3 else 1]), 273: (4, [8]), 277: (3, [channels]), 278: (3, [height]),
            279: (4, [len(data)])}
    tags.update(more.get("tags", {}))
    return tiff(tags, data, order)


def make_png():
    rgb, noise = smooth(), rng.integers(0, 256, (9, 11, 4), dtype=np.uint8)
    put("rgb.png", png(rgb, 8, 2), rgb)
    put("rgb_named.jpg", png(rgb, 8, 2), rgb)
    put("rgba.png", png(noise, 8, 6), over_white(noise[..., :3], noise[..., 3]))
    grey = noise[..., 0]
    put("grey.png", png(grey, 8, 0), grey_rgb(grey))
    put("grey_alpha.png", png(noise[..., :2], 8, 4), over_white(grey_rgb(grey), noise[..., 1]))
    for depth in (1, 2, 4):
        levels = rng.integers(0, 2**depth, (5, 13), dtype=np.uint8)
        put(f"grey_{depth}.png", png(levels, depth, 0), grey_rgb(levels * (255 // (2**depth - 1))))
        palette = rng.integers(0, 256, (2**depth, 3), dtype=np.uint8)
        put(f"palette_{depth}.png", png(levels, depth, 3, chunk(b"PLTE", palette.tobytes())), palette[levels])
    index = rng.integers(0, 6, (7, 8), dtype=np.uint8)
    palette = rng.integers(0, 256, (6, 3), dtype=np.uint8)
    alpha = np.array([0, 60, 128, 255, 255, 255], np.uint8)
    put("palette_alpha.png", png(index, 8, 3, chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", alpha[:3].tobytes())),
        over_white(palette[index], alpha[index]))
    key = np.where(index[..., None] == 2, np.array([1, 2, 3], np.uint8), palette[index])
    put("rgb_key.png", png(key, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))),
        np.where(index[..., None] == 2, 255, key))
    put("grey_key.png", png(grey, 8, 0, chunk(b"tRNS", struct.pack(">H", int(grey[0, 0])))), grey_rgb(grey))
    wide = rng.integers(0, 65536, (6, 5, 4), dtype=np.uint16)
    put("rgb_16.png", png(wide[..., :3], 16, 2), to_8(wide[..., :3]))
    put("grey_16.png", png(wide[..., 0], 16, 0), grey_rgb(to_8(wide[..., 0])))
    put("rgba_16.png", png(wide, 16, 6), over_white(to_8(wide[..., :3]), to_8(wide[..., 3])))
    frames = [Image.fromarray(smooth() // (i + 1)) for i in range(3)]
    put("animated.png", save(frames[0], "PNG", save_all=True, append_images=frames[1:]), smooth())
    put("text_bomb.png", png(rgb, 8, 2, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 24))[:20000]) +
                             chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1 << 20)))), rgb)
    put("one.png", png(rgb[:1, :1], 8, 2), rgb[:1, :1])
    tall = rng.integers(0, 256, (20000, 1), dtype=np.uint8)
    tall[50:] = 9
    put("tall.png", png(tall, 8, 0), grey_rgb(tall))
    put("wide.png", png(tall.T, 8, 0), grey_rgb(tall.T))
    put("exif_6.png", png(turned(rgb, 6), 8, 2, chunk(b"eXIf", exif(6, ">")[6:])), rgb)


def make_jpeg():
    rgb = smooth(24, 32)
    image = Image.fromarray(rgb)

    def decoded(data, mode="RGB"):
        return np.asarray(Image.open(io.BytesIO(data)).convert(mode))

    for name, options in {"lossy_rgb.jpg": {"subsampling": 0}, "lossy_420.jpg": {}, "lossy_progressive.jpg": {"progressive": True}}.items():
        data = save(image, "JPEG", quality=92, **options)
        put(name, data, decoded(data))
    grey = save(image.convert("L"), "JPEG", quality=92)
    put("lossy_grey.jpg", grey, decoded(grey))
    cmyk = save(Image.fromarray(smooth(24, 32, 4), "CMYK"), "JPEG", quality=95)
    ink = 255 - np.asarray(Image.open(io.BytesIO(cmyk))).astype(int)  # Pillow undoes Adobe's inversion
    put("lossy_cmyk.jpg", cmyk, (ink[..., :3] * ink[..., 3:] / 255).round())
    for orientation in range(1, 9):
        data = save(Image.fromarray(turned(rgb, orientation)), "JPEG", quality=95, subsampling=0,
                    exif=exif(orientation, "<>"[orientation % 2]))
        put(f"lossy_exif_{orientation}.jpg", data, rgb)
    put("lossy_exif_9.jpg", save(image, "JPEG", quality=95, subsampling=0, exif=exif(9)), rgb)


def make_webp():
    rgb, rgba = smooth(24, 32), np.concatenate([smooth(24, 32), smooth(24, 32, 4)[..., 3:]], -1)
    put("lossless.webp", save(Image.fromarray(rgb), "WEBP", lossless=True), rgb)
    lossy = save(Image.fromarray(rgb), "WEBP", quality=90)
    put("lossy.webp", lossy, np.asarray(Image.open(io.BytesIO(lossy)).convert("RGB")))
    put("lossless_alpha.webp", save(Image.fromarray(rgba), "WEBP", lossless=True, exact=True),
        over_white(rgba[..., :3], rgba[..., 3]))
    put("exif_8.webp", save(Image.fromarray(turned(rgb, 8)), "WEBP", lossless=True, exif=exif(8)), rgb)
    frames = [Image.fromarray(rgb // (i + 1)) for i in range(3)]
    put("animated.webp", save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=50), rgb)
    clear = rgba.copy()
    clear[:, 16:] = 0
    frames = [Image.fromarray(clear), Image.fromarray(rgba)]
    put("animated_alpha.webp", save(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True,
                                    duration=50), over_white(clear[..., :3], clear[..., 3]))


def make_bmp():
    rgb = smooth()
    put("rgb.bmp", save(Image.fromarray(rgb), "BMP"), rgb)
    grey = rgb[..., 0]
    put("grey.bmp", save(Image.fromarray(grey), "BMP"), grey_rgb(grey))
    bits = grey > 127
    put("bits.bmp", save(Image.fromarray(bits), "BMP"), grey_rgb(bits * np.uint8(255)))
    palette = Image.fromarray(rgb).quantize(16)
    put("palette.bmp", save(palette, "BMP"), np.asarray(palette.convert("RGB")))
    height, width = grey.shape
    rows = np.concatenate([rgb[..., ::-1], np.zeros((height, width, 1), np.uint8)], -1).tobytes()
    put("top_down_32.bmp", b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) +
        struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 32, 0, len(rows), 0, 0, 0, 0) + rows, rgb)


def make_tiff():
    rgb = smooth()
    image = Image.fromarray(rgb)
    for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits"):
        put(f"{name}.tif", save(image, "TIFF", compression=name), rgb)
    put("grey.tif", save(image.convert("L"), "TIFF"), grey_rgb(np.asarray(image.convert("L"))))
    palette = image.quantize(16)
    put("palette.tif", save(palette, "TIFF"), np.asarray(palette.convert("RGB")))
    bits = rgb[..., 0] > 127
    put("bits.tif", save(Image.fromarray(bits), "TIFF"), grey_rgb(bits * np.uint8(255)))
    pages = [Image.fromarray(rgb // (i + 1)) for i in range(2)]
    put("pages.tif", save(pages[0], "TIFF", save_all=True, append_images=pages[1:]), rgb)
    wide = rng.integers(0, 65536, (6, 5, 3), dtype=np.uint16)
    put("rgb_16.tif", tiff_of(wide), to_8(wide))
    put("rgb_16_big.tif", tiff_of(wide, ">"), to_8(wide))
    put("grey_16.tif", tiff_of(wide[..., :1]), grey_rgb(to_8(wide[..., 0])))
    for orientation in (1, 3, 6, 7):
        put(f"orientation_{orientation}.tif", tiff_of(turned(rgb, orientation), "<>"[orientation % 2],
                                                      tags={274: (3, [orientation])}), rgb)
    noise = rng.integers(0, 256, (9, 11, 4), dtype=np.uint8)
    put("rgba.tif", tiff_of(noise, tags={338: (3, [2])}), over_white(noise[..., :3], noise[..., 3]))


def make_resizes():
    picture = rng.integers(0, 256, (37, 53, 3), dtype=np.uint8)
    out = {"picture": picture}
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    for mode in ("bilinear", "bicubic"):
        for height, width in ((16, 16), (64, 80), (37, 20), (5, 53)):
            result = torch.nn.functional.interpolate(planes, (height, width), mode=mode, antialias=True)
            out[f"{mode}_{height}x{width}"] = result.round().clamp(0, 255).byte()[0].permute(1, 2, 0).contiguous().numpy()
            out[f"{mode}_{height}x{width}.float"] = result.numpy()
    save_file(out, OUT / "resize.safetensors")


if __name__ == "__main__":
    FILES.mkdir(parents=True, exist_ok=True)
    for make in (make_png, make_jpeg, make_webp, make_bmp, make_tiff, make_resizes):
        make()
    save_file(expected, OUT / "decoded.safetensors")
