# SPDX-License-Identifier: Apache-2.0
"""Decoding latents of a 256x256 picture with an autoencoder of Stable Diffusion's size, random weights."""
import subprocess

from peers import ROOT
from rows import row
from setting import OURS, Sides
from turns import run_case, told

CASES = ["vae_decode/256"]
UNIT = "ms"
OPERATIONS = 2 * 311e9  # 311 G multiplications in the decoder's convolutions and its attention
WIDE = "diffusers fp32"


def measure(setting, cases):
    folder = setting.folder / "vae_model"
    subprocess.run([ROOT / "build" / "bin" / "random_dit_moe", "S/2-8E2A", folder], check=True)
    limits = setting.limits()
    with Sides() as s:
        ours = s.start(lambda: setting.ours("vae_decode_bench", folder, setting.threads, "bfloat16"), (OURS, "run"))
        s.start(lambda: setting.peer("diffusers", "torch", "peer_vae.py", folder / "vae", setting.threads), (WIDE, "float32"), ("diffusers bf16 channels-last", "bfloat16"))
        times, away = run_case(setting, s.sides, s.failed, lambda number, file: ours.ask("input", number, file), WIDE)
        rate = limits.get("bf16_gflop_s")
        yield row(cases[0], UNIT, times, OURS, limit=OPERATIONS / rate / 1e6 if rate else None, failed=s.failed, weights="bf16", **told(away))
