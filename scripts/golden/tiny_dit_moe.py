#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tiny_dit_moe/: a DiT-MoE of random weights as the files that people have to convert (PyPI torch
2.11.0, safetensors 0.8.0).

    python scripts/golden/tiny_dit_moe.py

config.json        its size
model.safetensors  the weights under the published names
training.pt        what a training script stores: model (other values), ema (these), opt, args
deepspeed.pt       a bare state dict in float16 with the prefix "module."
vae/               an autoencoder as old releases have it: a pickled .bin with the attention's former names
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file

root = pathlib.Path(__file__).parents[2]
golden = root / "tests/golden/tiny_dit_moe"
torch.manual_seed(4)
D, H, E, S, C, SIDE, PATCH, CLASSES = 8, 2, 3, 4, 4, 4, 2, 5
CONFIG = {"model_type": "dit_moe", "input_size": SIDE, "patch_size": PATCH, "in_channels": C, "hidden_size": D, "depth": 2,
          "num_heads": H, "num_classes": CLASSES, "num_experts": E, "num_experts_per_tok": 2, "use_flash_attn": False}


def linear(name, rows, columns):
    return {f"{name}.weight": torch.randn(rows, columns) * 0.2, f"{name}.bias": torch.randn(rows) * 0.1}


def gated(name, hidden):
    shapes = {"gate_proj": (hidden, D), "up_proj": (hidden, D), "down_proj": (D, hidden)}
    return {f"{name}.{part}.weight": torch.randn(*shape) * 0.2 for part, shape in shapes.items()}


def weights():
    out = {"pos_embed": torch.randn(1, S, D), "x_embedder.proj.weight": torch.randn(D, C, PATCH, PATCH) * 0.2,
           "x_embedder.proj.bias": torch.randn(D), "y_embedder.embedding_table.weight": torch.randn(CLASSES + 1, D)}
    out |= linear("t_embedder.mlp.0", D, 256) | linear("t_embedder.mlp.2", D, D)
    out |= linear("final_layer.linear", PATCH * PATCH * 2 * C, D) | linear("final_layer.adaLN_modulation.1", 2 * D, D)
    for n in range(2):
        block = f"blocks.{n}"
        out |= linear(f"{block}.attn.qkv", 3 * D, D) | linear(f"{block}.attn.proj", D, D)
        out |= linear(f"{block}.adaLN_modulation.1", 6 * D, D)
        out[f"{block}.moe.gate.weight"] = torch.randn(E, D)
        out |= gated(f"{block}.moe.shared_experts", 2 * D)
        for e in range(E):
            out |= gated(f"{block}.moe.experts.{e}", 4 * D)
    return out


def old_vae():
    source = root / "tests/golden/autoencoder_kl/two_levels"
    (golden / "vae/config.json").write_text((source / "config.json").read_text())
    former = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    out = {}
    for name, tensor in load_file(source / "diffusion_pytorch_model.safetensors").items():
        for new, old in former.items():
            name = name.replace(new, old)
        out[name] = tensor
    torch.save(out, golden / "vae/diffusion_pytorch_model.bin")


(golden / "vae").mkdir(parents=True, exist_ok=True)
(golden / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
ema = weights()
save_file(ema, golden / "model.safetensors")
parameter = torch.nn.Parameter(torch.zeros(3))
optimizer = torch.optim.AdamW([parameter])
parameter.sum().backward()
optimizer.step()
torch.save({"model": {name: torch.zeros(()) .expand(t.shape) for name, t in ema.items()}, "ema": ema, "opt": optimizer.state_dict(),
            "args": argparse.Namespace(model="DiT-S/2", lr=1e-4)}, golden / "training.pt")
torch.save({f"module.{name}": tensor.half() for name, tensor in ema.items()}, golden / "deepspeed.pt")
old_vae()
