# SPDX-License-Identifier: Apache-2.0
"""A training step of the default recipe from the shipped weights, against the same model in PyTorch (joint_torch.py)."""
from peers import ROOT
from programs import ProgramError
from rows import row
from setting import OURS, Sides
from turns import run_case, told

CASES = ["train_step/default_model"]
UNIT = "ms"
MODEL = ROOT / "configs" / "default_model"
REFERENCE = "PyTorch bf16 autocast"
BATCHES = 2  # that come again: libraries compile kernels for shapes that they have not seen, once


def measure(setting, cases):
    with Sides() as s:
        ours = s.start(lambda: setting.ours("train_step_bench", MODEL, MODEL / "recipe.toml", setting.threads), (OURS, "run"))
        peer = s.start(lambda: setting.peer("PyTorch", "torch", "peer_train_step.py", MODEL, setting.threads), (REFERENCE, "autocast"), (REFERENCE + ", attention in fp32", "wide_attention"))
        if ours and peer and ours.ready["parameters"] != peer.ready["parameters"]:
            raise ProgramError(f"the models differ: {ours.ready['parameters']} and {peer.ready['parameters']} parameters")
        times, away = run_case(setting, s.sides, s.failed, lambda number, file: ours.ask("input", number % BATCHES, file), REFERENCE)
        yield row(cases[0], UNIT, times, OURS, failed=s.failed, weights="f32, products in bf16", parameters=ours.ready["parameters"], **told(away))
