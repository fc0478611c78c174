# SPDX-License-Identifier: Apache-2.0
"""The joint model of configs/default_model and its training loss in PyTorch: the peer of our training step.

Written as one would in PyTorch for speed on a CPU: bf16 autocast, grouped products for the experts, padded attention with a mask, fused
AdamW. Names of parameters are those of model.safetensors, shapes of batches those that bench/train_step_bench.cpp writes.
"""
import math

import torch
from torch.nn import functional


def rms_norm(x, weight, eps):
    return functional.rms_norm(x.float(), weight.shape, weight, eps)


def rope_table(position, axis_dims, theta):
    angles = []
    for axis, dim in enumerate(axis_dims):
        frequency = theta ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        angles.append(position[:, axis, None] * frequency)
    angle = torch.cat(angles, 1)
    return angle.cos()[:, None], angle.sin()[:, None]


def rotate(x, table):
    cos, sin = table
    first, second = x.float().chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def patches(x, size):
    b, c, h, w = x.shape
    return x.view(b, c, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5).reshape(-1, c * size * size)


def gated(h):
    gate, up = h.chunk(2, -1)
    return functional.silu(gate) * up


class Layout:
    """Where each packed token stands in a padded batch, and what it may see: spans up to its own of its sample."""

    def __init__(self, batch):
        offsets = batch["sample_offsets"]
        lengths = offsets[1:] - offsets[:-1]
        self.samples, self.longest = len(lengths), int(lengths.max())
        sample = torch.repeat_interleave(torch.arange(self.samples), lengths)
        self.place = sample * self.longest + torch.arange(len(sample)) - offsets[sample]
        span = self.pad(batch["span_T"], -1)
        there = span >= 0
        seen = (span[:, None] <= span[:, :, None]) & there[:, None] & there[:, :, None]
        self.mask = (seen | torch.eye(self.longest, dtype=torch.bool))[:, None]

    def pad(self, x, rest=0):
        return x.new_full((self.samples * self.longest, *x.shape[1:]), rest).index_copy(0, self.place, x).view(self.samples, self.longest, *x.shape[1:])

    def unpad(self, x):
        return x.flatten(0, 1).index_select(0, self.place)


class JointModel(torch.nn.Module):
    def __init__(self, config, weights, wide_attention):
        super().__init__()
        self.config, self.wide_attention = config, wide_attention
        self.names = sorted(weights)
        self.values = torch.nn.ParameterList([weights[name].float().clone() for name in self.names])
        owners, moe = {"text": 0, "image": 1, "audio": 2, "latent": 3}, config["moe"]
        experts = sum(group["num_experts"] for group in moe["groups"])
        self.allowed, first, self.groups = torch.zeros(4, experts, dtype=torch.bool), 0, []
        for group in moe["groups"]:
            end = first + group["num_experts"]
            modalities = [owners[name] for name in group["modalities"]]
            self.allowed[modalities, first:end] = True
            self.groups.append((modalities, first, end))
            first = end

    def weights(self):
        return dict(zip(self.names, self.values))

    def linear(self, w, name, x):
        return functional.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def attention(self, w, name, x, layout, rope):
        heads = self.config["model"]["num_heads"]
        q, k, v = self.linear(w, f"{name}.qkv", x).view(len(x), 3, heads, -1).unbind(1)
        q, k = (rotate(rms_norm(h, w[f"{name}.{kind}_norm.weight"], 1e-6), rope) for h, kind in ((q, "q"), (k, "k")))
        q, k, v = (layout.pad(h).transpose(1, 2) for h in (q, k, v))
        if self.wide_attention:
            with torch.autocast("cpu", enabled=False):
                y = functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), layout.mask)
        else:
            y = functional.scaled_dot_product_attention(q, k, v, layout.mask)
        return self.linear(w, f"{name}.out", layout.unpad(y.transpose(1, 2)).flatten(1))

    def moe(self, w, name, x, modality, losses):
        config = self.config["moe"]
        with torch.autocast("cpu", enabled=False):
            logits = functional.linear(x.float(), w[f"{name}.gate.weight"]).masked_fill(~self.allowed[modality], -math.inf)
            score = logits.softmax(-1)
            weight, expert = score.topk(config["experts_per_token"], -1)
            weight = weight / weight.sum(-1, keepdim=True)
        losses.append((logits, score, expert))
        k, bf16 = config["experts_per_token"], torch.bfloat16
        order = expert.flatten().argsort(stable=True)
        offsets = torch.bincount(expert.flatten(), minlength=score.shape[1]).cumsum(0).int()
        rows = torch._grouped_mm(x.to(bf16)[order // k], w[f"{name}.experts.w13"].to(bf16).transpose(1, 2), offs=offsets)
        rows = torch._grouped_mm(gated(rows), w[f"{name}.experts.w2"].to(bf16).transpose(1, 2), offs=offsets)
        y = torch.zeros_like(x, dtype=torch.float32).index_add(0, order // k, rows * weight.flatten()[order, None])
        return y + functional.linear(gated(functional.linear(x, w[f"{name}.shared_experts.w13"])), w[f"{name}.shared_experts.w2"])

    def forward(self, batch):
        c, w = self.config["model"], self.weights()
        layout = Layout(batch)
        table = [functional.embedding(batch["text_ids"], w["text_embedding.weight"])]
        hidden = functional.silu(self.linear(w, "image_encoder.patch_to_hidden", patches(batch["pixels_NCHW"], c["image_patch"])))
        table.append(self.linear(w, "image_encoder.hidden_to_token", hidden))
        table.append(self.linear(w, "latent_in", patches(batch["noisy_BCHW"], c["latent_patch"])))
        x = torch.cat([part.float() for part in table]).index_select(0, batch["source_T"])
        angle = 1000 * batch["t_B"][:, None] * torch.exp(torch.arange(128) * (-math.log(10000.0) / 128))
        condition = self.linear(w, "timestep.linear_2", functional.silu(self.linear(w, "timestep.linear_1", torch.cat([angle.cos(), angle.sin()], 1))))
        condition = functional.silu(condition)
        rope, losses, rows = rope_table(batch["position_TA"], c["rope_axis_dims"], c["rope_theta"]), [], batch["condition_T"]

        def of_token(part, none):  # row 0 is that of tokens without a time
            return torch.cat([torch.full_like(part[:1], none), part]).index_select(0, rows)
        for i in range(c["depth"]):
            block = f"backbone.blocks_{i}"
            m = self.linear(w, f"{block}.ada_ln.linear", condition).chunk(6, 1)
            h = rms_norm(x, w[f"{block}.attention_norm.weight"], c["norm_eps"]) * (1 + of_token(m[1], 0)) + of_token(m[0], 0)
            x = x + of_token(m[2], 1) * self.attention(w, f"{block}.attention", h, layout, rope)
            h = rms_norm(x, w[f"{block}.moe_norm.weight"], c["norm_eps"]) * (1 + of_token(m[4], 0)) + of_token(m[3], 0)
            x = x + of_token(m[5], 1) * self.moe(w, f"{block}.moe", h, batch["modality_T"].long(), losses)
        shift, scale = (part.repeat_interleave(len(batch["latent_rows"]) // len(condition), 0) for part in self.linear(w, "latent_ada_ln.linear", condition).chunk(2, 1))
        h = rms_norm(x.index_select(0, batch["latent_rows"]), w["latent_norm.weight"], c["norm_eps"]) * (1 + scale) + shift
        clean = self.linear(w, "latent_out", h).float()
        words = rms_norm(x.index_select(0, batch["predict_rows"]), w["text_norm.weight"], c["norm_eps"])
        return clean, functional.linear(words, w["text_embedding.weight"]).float(), losses

    def loss(self, batch, objective):
        clean, logits, losses = self(batch)
        t = batch["t_B"]
        error = (clean - patches(batch["clean_BCHW"], self.config["model"]["latent_patch"])).square().view(len(t), -1).mean(1)
        flow = (error / t.clamp_min(objective["min_t"]).square()).mean()
        words = functional.cross_entropy(logits, batch["predict_targets"])
        balance, z = torch.zeros(()), torch.zeros(())
        for router_logits, score, expert in losses:
            z = z + router_logits.logsumexp(1).square().mean()
            for modalities, first, end in self.groups:
                inside = torch.isin(batch["modality_T"].long(), torch.tensor(modalities))
                count = torch.bincount(expert[inside].flatten(), minlength=end)[first:end].float()
                balance = balance + (end - first) * (count / count.sum().clamp_min(1) * score[inside, first:end].sum(0) / inside.sum().clamp_min(1)).sum()
        total = flow + objective["caption_weight"] * words + objective["balance_weight"] * balance + objective["z_weight"] * z
        return total, {"flow": flow, "clean_mse": error.mean(), "words": words, "balance": balance, "router_z": z}
