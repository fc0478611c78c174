# SPDX-License-Identifier: Apache-2.0
"""One MoE layer in PyTorch: a loop over experts, and its grouped product.   peer_layer_torch.py LAYERS THREADS"""
import sys

import torch
import torch_tensors
from serve import serve, timed
from torch.nn import functional

D, F, E, K = 2048, 1024, 64, 8


def loop(layer, x, expert, weight):
    w13, w2 = layer
    y = torch.zeros_like(x)
    for e in range(E):
        token, choice = torch.where(expert == e)
        if token.numel() == 0:
            continue
        gate, up = functional.linear(x[token], w13[e]).chunk(2, -1)
        rows = functional.linear(functional.silu(gate) * up, w2[e])
        y = y.index_add(0, token, rows * weight[token, choice, None].to(x.dtype))
    return y


def grouped(layer, x, expert, weight):
    w13, w2 = layer
    order = expert.flatten().argsort(stable=True)
    token = order // K
    offsets = torch.bincount(expert.flatten(), minlength=E).cumsum(0).int()
    gate, up = torch._grouped_mm(x[token], w13.transpose(1, 2), offs=offsets).chunk(2, -1)
    rows = torch._grouped_mm(functional.silu(gate) * up, w2.transpose(1, 2), offs=offsets)
    return torch.zeros_like(x).index_add_(0, token, rows * weight.flatten()[order, None].to(x.dtype))


def repetitions(path):
    given = torch_tensors.load(path)
    for r in range(given["x_RTD"].shape[0]):
        yield int(given["layer_R"][r]), given["x_RTD"][r].clone(), given["expert_RTK"][r], given["weight_RTK"][r], given["dy_RTD"][r]


def main():
    file, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    # Copied: a mapping of a file has small pages, which would slow this side down.
    weights = {name: tensor.clone() for name, tensor in torch_tensors.load(file).items()}
    layers = [(weights[f"w13.{i}"], weights[f"w2.{i}"]) for i in range(len(weights) // 2)]

    def run(way, source, target):
        times = []
        with torch.inference_mode():
            for number, x, expert, weight, _ in repetitions(source):
                ms, y = timed(lambda: way(layers[number], x, expert, weight))
                times.append(ms)
        if target != "-":
            torch_tensors.save(target, {"y": y})
        return {"values": times}

    def train(source, target):
        times = []
        for number, x, expert, weight, dy in repetitions(source):
            parameters = [x, *layers[number]]
            for tensor in parameters:
                tensor.grad = None
                tensor.requires_grad_()
            ms, _ = timed(lambda: grouped(layers[number], x, expert, weight).backward(dy))
            times.append(ms)
            out = {"dx": x.grad, "dw13": layers[number][0].grad[:2].clone(), "dw2": layers[number][1].grad[:2].clone()}
            for tensor in parameters:
                tensor.grad = None
                tensor.requires_grad_(False)
        if target != "-":
            torch_tensors.save(target, out)
        return {"values": times}

    serve({"loop": lambda *files: run(loop, *files), "grouped": lambda *files: run(grouped, *files), "train": train}, version=torch.__version__)


main()
