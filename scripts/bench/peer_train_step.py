# SPDX-License-Identifier: Apache-2.0
"""Training steps of the joint model in PyTorch.   peer_train_step.py MODEL THREADS     verbs: autocast, wide_attention"""
import json
import sys
import tomllib
from pathlib import Path

import torch
import torch_tensors
from joint_torch import JointModel
from serve import serve, timed

LEARNING_RATE = 1e-4


class Training:
    def __init__(self, folder, recipe, wide_attention):
        self.recipe = recipe
        self.model = JointModel(json.loads((folder / "config.json").read_text()), torch_tensors.load(folder / "model.safetensors"), wide_attention)
        train = recipe["train"]
        self.parameters = list(self.model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=LEARNING_RATE, betas=(train["adam_beta1"], train["adam_beta2"]), eps=train["adam_epsilon"], weight_decay=0, fused=True)

    def step(self, batch):
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts = self.model.loss(batch, self.recipe["objective"])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe["train"]["max_grad_norm"])
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - self.recipe["train"]["ema_decay"])
        self.optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "grad_norm": norm, **parts}

    def run(self, source, target):
        batch = {name: tensor.clone() for name, tensor in torch_tensors.load(source).items()}
        ms, told = timed(lambda: self.step(batch))
        if target != "-":
            torch_tensors.save(target, {name: tensor.detach() for name, tensor in told.items()})
        return {"values": [ms]}


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    recipe = tomllib.loads((folder / "recipe.toml").read_text())
    ways = {"autocast": Training(folder, recipe, False), "wide_attention": Training(folder, recipe, True)}
    count = sum(parameter.numel() for parameter in ways["autocast"].parameters)
    serve({name: way.run for name, way in ways.items()}, version=torch.__version__, parameters=count)


main()
