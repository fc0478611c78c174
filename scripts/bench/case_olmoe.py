# SPDX-License-Identifier: Apache-2.0
"""A language model of OLMoE's width with four layers, random weights: reading 512 tokens, and writing token by token."""
import subprocess
from dataclasses import replace

from peers import ROOT, PeerError, python_of
from rows import row
from setting import OURS, SCRIPTS, Side, Sides
from turns import run_case, told

LAYERS, D, F, E, K, VOCABULARY = 4, 2048, 1024, 64, 8, 50304
BITS = {"bf16": 16, "int8": 8.5, "int4": 4.5}
LLAMA = {"bf16": "BF16", "int8": "Q8_0", "int4": "Q4_0"}
CASES = ["model_prefill/512", *(f"model_decode/{kind}" for kind in BITS)]
UNIT = "tokens/s"
PREFILL, CONTEXT, WRITTEN = 512, 128, 16
JUDGE = "transformers grouped_mm"


def limit_rate(case, limits):
    """Tokens a second where every weight that is needed is read once."""
    if case.startswith("model_prefill"):
        gigabytes = (LAYERS * (E * 3 * D * F + 4 * D * D) + VOCABULARY * D) * 2 / 1e9
        products = 2 * PREFILL * LAYERS * (K * 3 * D * F + 4 * D * D) / 1e9
        return PREFILL / max(gigabytes / limits["read_gb_s"], products / limits.get("bf16_gflop_s", float("inf")))
    weights = LAYERS * (K * 3 * D * F + 4 * D * D) + VOCABULARY * D
    return limits["read_gb_s"] / (weights * BITS[case.split("/")[1]] / 8 / 1e9)


class Files:
    """llama.cpp's files of the model, made when they are asked for; one at a time beside bf16's, since they are large."""

    def __init__(self, setting, folder):
        self.setting, self.folder, self.wide = setting, folder, folder.parent / "BF16.gguf"

    def make(self, kind):
        python = python_of("llama", self.setting.install)
        if not self.wide.exists():
            self._call(python, self.folder, self.wide)
        if kind == "bf16":
            return self.wide
        target = self.folder.parent / f"{LLAMA[kind]}.gguf"
        self._call(python, self.wide, target, LLAMA[kind], self.setting.threads)
        return target

    def _call(self, python, *words):
        done = subprocess.run([str(word) for word in (python, SCRIPTS / "olmoe_gguf.py", *words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise PeerError(f"llama: {(done.stderr.strip() or 'no message').splitlines()[-1][:200]}")


def measure(setting, cases):
    folder = setting.folder / "olmoe"
    subprocess.run([ROOT / "build" / "bin" / "random_olmoe", folder, f"num_hidden_layers={LAYERS}"], check=True)
    limits, files = setting.limits(), Files(setting, folder)
    with Sides() as shared:
        transformers = shared.start(lambda: setting.peer("transformers", "torch", "peer_transformers.py", folder, setting.threads))
        for kind in BITS:
            wanted = [case for case in cases if case.endswith(kind) or (kind == "bf16" and case == CASES[0])]
            if wanted:
                yield from _measure_kind(setting, kind, wanted, folder, limits, files, transformers, shared.failed)


def _measure_kind(setting, kind, cases, folder, limits, files, transformers, failed):
    with Sides() as s:
        ours = s.start(lambda: setting.ours("olmoe_bench", folder, setting.threads, kind), (OURS, ""))
        s.start(lambda: setting.peer("llama.cpp", "llama", "peer_llama.py", files.make(kind), setting.threads), (f"llama.cpp {LLAMA[kind]}", ""))
        if transformers:
            s.sides += [Side(f"transformers {name}", transformers, f"{way}_", judge=kind != "bf16") for way, name in (("eager", "eager"), ("grouped", "grouped_mm")) if kind == "bf16" or way == "grouped"]
        for case in cases:
            verb = "prefill" if case == CASES[0] else "decode"
            read, written = (PREFILL, 0) if verb == "prefill" else (CONTEXT, WRITTEN)
            sides, missing = [replace(side, verb=side.verb + verb) for side in s.sides], failed | s.failed
            rates, away = run_case(setting, sides, missing, lambda number, file: ours.ask("input", read, written, number, file), JUDGE)
            yield row(case, UNIT, rates, OURS, limit=limit_rate(case, limits), failed=missing, weights=kind, **told(away))
    if kind != "bf16":
        (folder.parent / f"{LLAMA[kind]}.gguf").unlink(missing_ok=True)
