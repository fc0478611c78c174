# SPDX-License-Identifier: Apache-2.0
"""DiT-MoE in PyTorch, written from its paper (arXiv:2407.11633) and the published tensor names: the peer of ours.

The experts run as a loop over experts or as grouped products; both halves of guidance go in one batch.
"""
import math

import torch
from torch.nn import functional


def linear(weights, name, x):
    return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def timestep_sinusoids(t, dim=256):
    frequency = torch.exp(torch.arange(dim // 2, dtype=torch.float32) * (-math.log(10000.0) / (dim // 2)))
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)


def stacked(weights, prefix, count):
    """The experts' matrices in banks: gate and up rows (E, 2F, D), down (E, D, F)."""
    def of(kind):
        return torch.stack([weights[f"{prefix}.{e}.{kind}.weight"] for e in range(count)])
    return torch.cat([of("gate_proj"), of("up_proj")], 1), of("down_proj")


def gated(h):
    gate, up = h.chunk(2, -1)
    return functional.silu(gate) * up


class DitMoe:
    def __init__(self, config, weights, dtype, experts="grouped"):
        self.config, self.experts = config, experts
        depth, count = config["depth"], config["num_experts"]
        self.gates = [weights[f"blocks.{i}.moe.gate.weight"].float() for i in range(depth)]
        self.banks, self.shared = [], []
        for i in range(depth):
            self.banks.append(tuple(bank.to(dtype) for bank in stacked(weights, f"blocks.{i}.moe.experts", count)))
            shared = {kind: weights[f"blocks.{i}.moe.shared_experts.{kind}.weight"] for kind in ("gate_proj", "up_proj", "down_proj")}
            self.shared.append((torch.cat([shared["gate_proj"], shared["up_proj"]]).to(dtype), shared["down_proj"].to(dtype)))
        self.weights = {name: tensor.to(dtype) for name, tensor in weights.items() if ".moe." not in name}
        self.dtype = dtype

    def moe(self, layer, x):
        k, count = self.config["num_experts_per_tok"], self.config["num_experts"]
        score = functional.linear(x.float(), self.gates[layer]).softmax(-1)
        weight, expert = score.topk(k, sorted=False)
        w13, w2 = self.banks[layer]
        if self.experts == "grouped":
            order = expert.flatten().argsort(stable=True)
            offsets = torch.bincount(expert.flatten(), minlength=count).cumsum(0).int()
            rows = torch._grouped_mm(x[order // k], w13.transpose(1, 2), offs=offsets)
            rows = torch._grouped_mm(gated(rows), w2.transpose(1, 2), offs=offsets)
            y = torch.zeros_like(x).index_add_(0, order // k, rows * weight.flatten()[order, None].to(x.dtype))
        else:
            y = torch.zeros_like(x)
            for e in range(count):
                token, choice = torch.where(expert == e)
                if token.numel():
                    rows = functional.linear(gated(functional.linear(x[token], w13[e])), w2[e])
                    y.index_add_(0, token, rows * weight[token, choice, None].to(x.dtype))
        shared_w13, shared_w2 = self.shared[layer]
        return y + functional.linear(gated(functional.linear(x, shared_w13)), shared_w2)

    def attention(self, layer, x):
        b, s, d = x.shape
        heads = self.config["num_heads"]
        q, k, v = linear(self.weights, f"blocks.{layer}.attn.qkv", x).view(b, s, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v)
        return linear(self.weights, f"blocks.{layer}.attn.proj", y.transpose(1, 2).reshape(b, s, d))

    def forward(self, x, t, y):
        c, w = self.config, self.weights
        patch, d = c["patch_size"], c["hidden_size"]
        h = functional.conv2d(x.to(self.dtype), w["x_embedder.proj.weight"], w["x_embedder.proj.bias"], stride=patch).flatten(2).transpose(1, 2)
        h = h + w["pos_embed"]
        time = linear(w, "t_embedder.mlp.2", functional.silu(linear(w, "t_embedder.mlp.0", timestep_sinusoids(t).to(self.dtype))))
        condition = functional.silu(time + w["y_embedder.embedding_table.weight"][y])

        def modulated(v, shift, scale):
            return functional.layer_norm(v, (d,), eps=1e-6) * (1 + scale[:, None]) + shift[:, None]
        for i in range(c["depth"]):
            m = linear(w, f"blocks.{i}.adaLN_modulation.1", condition).chunk(6, 1)
            h = h + m[2][:, None] * self.attention(i, modulated(h, m[0], m[1]))
            routed = modulated(h, m[3], m[4])
            h = h + m[5][:, None] * self.moe(i, routed.reshape(-1, d)).view(h.shape)
        shift, scale = linear(w, "final_layer.adaLN_modulation.1", condition).chunk(2, 1)
        out = linear(w, "final_layer.linear", modulated(h, shift, scale)).float()
        side = x.shape[2] // patch
        return out.view(len(x), side, side, patch, patch, -1).permute(0, 5, 1, 3, 2, 4).reshape(len(x), -1, *x.shape[2:])

    def guided_step(self, x, t, label, guidance, dt):
        """One Euler step of the rectified flow with both passes in one batch."""
        n, channels = len(x), x.shape[1]
        y = torch.cat([torch.full((n,), label), torch.full((n,), self.config["num_classes"])])
        v = self.forward(torch.cat([x, x]), torch.full((2 * n,), t), y)[:, :channels]
        return x - dt * (v[n:] + guidance * (v[:n] - v[n:]))
