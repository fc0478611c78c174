# SPDX-License-Identifier: Apache-2.0
"""One guided step of DiT-MoE at 256x256, random weights, against a port of the published code to PyTorch (dit_moe_torch.py)."""
import shutil
import subprocess

from peers import ROOT
from rows import row
from setting import OURS, Sides
from turns import run_case, told

PRESETS = {"dit_moe_s2/step": ("S/2-8E2A", 16.0e9), "dit_moe_b2/step": ("B/2-8E2A", 62.9e9)}  # multiplications of one pass of one picture
CASES = list(PRESETS)
UNIT = "ms"
STEPS = 2  # of a turn
WIDE = "PyTorch fp32 loop"


def measure(setting, cases):
    limits = setting.limits()
    for case in cases:
        preset, products = PRESETS[case]
        folder = setting.folder / "dit_model"
        subprocess.run([ROOT / "build" / "bin" / "random_dit_moe", preset, folder], check=True)
        yield _measure(setting, case, folder, products, limits)
        shutil.rmtree(folder)


def _measure(setting, case, folder, products, limits):
    with Sides() as s:
        ours = s.start(lambda: setting.ours("dit_step_bench", folder, setting.threads, "bfloat16"), (OURS, "run"))
        for name, dtype in (("fp32", "float32"), ("bf16", "bfloat16")):
            s.start(lambda: setting.peer(f"PyTorch {name}", "torch", "peer_dit_moe.py", folder / "transformer", setting.threads, dtype),
                    (f"PyTorch {name} loop", "loop"), (f"PyTorch {name} grouped", "grouped"))
        times, away = run_case(setting, s.sides, s.failed, lambda number, file: ours.ask("input", number, STEPS, file), WIDE)
        rate = limits.get("bf16_gflop_s")
        return row(case, UNIT, times, OURS, limit=2 * 2 * products / rate / 1e6 if rate else None, failed=s.failed, weights="bf16", **told(away))
