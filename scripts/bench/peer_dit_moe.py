# SPDX-License-Identifier: Apache-2.0
"""Guided steps of DiT-MoE in PyTorch.   peer_dit_moe.py FOLDER THREADS float32|bfloat16     verbs: loop, grouped"""
import json
import sys
from pathlib import Path

import torch
import torch_tensors
from dit_moe_torch import DitMoe
from serve import serve, timed


def main():
    folder, threads, dtype = Path(sys.argv[1]), int(sys.argv[2]), getattr(torch, sys.argv[3])
    torch.set_num_threads(threads)
    weights = torch_tensors.load(folder / "diffusion_pytorch_model.safetensors")
    model = DitMoe(json.loads((folder / "config.json").read_text()), weights, dtype)

    def draw(experts, source, target):
        given = torch_tensors.load(source)
        x, steps, label, guidance = given["noise"], int(given["steps"]), int(given["label"]), float(given["guidance"])
        model.experts = experts
        times = []
        with torch.inference_mode():
            for i in range(steps):
                ms, x = timed(lambda: model.guided_step(x, 1 - i / steps, label, guidance, 1 / steps))
                times.append(ms)
        if target != "-":
            torch_tensors.save(target, {"latents": x})
        return {"values": [sum(times) / steps]}

    serve({way: lambda *files, way=way: draw(way, *files) for way in ("loop", "grouped")}, version=torch.__version__)


main()
