# SPDX-License-Identifier: Apache-2.0
"""One layer of OLMoE-1B-7B's shape: its experts, routing given, forward in three formats of weights and backward."""
from dataclasses import replace

from rows import row
from setting import OURS, Sides
from turns import run_case, told

D, F, E, K = 2048, 1024, 64, 8
# Repetitions of one turn, each with a routing of its own: enough to be long against the handing over.
TURNS = {1: 12, 16: 6, 128: 4, 1024: 3, 4096: 1}
BITS = {"bf16": 16, "int8": 8.5, "int4": 4.5}  # of a weight; 16 for the scale of a group of 32 counted in
FORWARD = {f"layer_forward{'' if kind == 'bf16' else '_' + kind}/{tokens}": (kind, tokens) for kind in BITS for tokens in TURNS}
CASES = [*FORWARD, "layer_train/1024"]
UNIT = "ms"
TRAIN_TOKENS, TRAIN_TURN = 1024, 2
LOOP, REFERENCE = "PyTorch loop", "PyTorch _grouped_mm"


def limit_ms(kind, tokens, limits, train=False):
    """Weights of the experts that are asked are read once, or the products at the peak of the tiles, whichever is longer."""
    active = E * (1 - (1 - K / E) ** tokens)
    gigabytes = active * 3 * D * F * BITS[kind] / 8 / 1e9
    products = 6 * tokens * K * D * F / 1e9
    if train:  # read for the outputs and for the gradients of the inputs, and gradients in f32 written
        gigabytes, products = 2 * gigabytes + E * 3 * D * F * 4 / 1e9, 3 * products
    rate = limits.get("bf16_gflop_s" if kind == "bf16" else "int8_gop_s")
    return 1e3 * max(gigabytes / limits["read_gb_s"], products / rate if rate else 0)


def _row(case, times, failed, away, limit, kind, **more):
    return row(case, UNIT, times, OURS, limit=limit, failed=failed, weights=kind, **told(away), **more)


def measure(setting, cases):
    layers = setting.folder / "layers.safetensors"
    limits = setting.limits()
    with Sides() as torch:
        setting.ours("moe_layer_bench", layers, setting.threads, "bf16").close()  # makes the weights
        torch.start(lambda: setting.peer("PyTorch", "torch", "peer_layer_torch.py", layers, setting.threads), (LOOP, "loop"), (REFERENCE, "grouped"))
        for kind in BITS:
            wanted = [case for case in cases if FORWARD.get(case, ("bf16",))[0] == kind]
            if wanted:
                yield from _measure_kind(setting, kind, wanted, layers, limits, torch)


def _measure_kind(setting, kind, cases, layers, limits, torch):
    with Sides() as own:
        inputs = own.start(lambda: setting.ours("moe_layer_bench", layers, setting.threads, kind), (OURS, "run"))
        if any(case in FORWARD for case in cases):
            own.start(lambda: setting.peer("kt-kernel", "kt", "peer_layer_kt.py", layers, setting.threads, kind), (f"kt-kernel {kind}", "run"))
        packing = {side.name: side.program.ready["pack_ms"] for side in own.sides if "pack_ms" in side.program.ready}
        for case in cases:
            train = case not in FORWARD
            tokens = TRAIN_TOKENS if train else FORWARD[case][1]
            sides, failed = _sides_of(own, torch, kind, train)
            times, away = run_case(setting, sides, failed, lambda number, file: inputs.ask("input", tokens, TRAIN_TURN if train else TURNS[tokens], 1000 * tokens + number, file), REFERENCE)
            yield _row(case, times, failed, away, limit_ms(kind, tokens, limits, train), kind, **({} if train else {"packing_ms": packing}))


def _sides_of(own, torch, kind, train):
    """PyTorch is a peer of the bf16 layers, and judges the quantised ones. Its loop does not train: LibTorch would add gradients of the whole bank 64 times, 23 s a step."""
    if train:
        sides = [replace(side, verb="train") for side in own.sides + torch.sides if side.name in (OURS, REFERENCE)]
        return sides, {name: why for name, why in (own.failed | torch.failed).items() if name in (OURS, REFERENCE)}
    if kind == "bf16":
        return own.sides + torch.sides, own.failed | torch.failed
    return own.sides + [replace(side, judge=True) for side in torch.sides if side.name == REFERENCE], dict(own.failed)
