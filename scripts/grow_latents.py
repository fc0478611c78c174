#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives an autoencoder, or a joint model, more latent channels without losing what it knows; training has to go on after it.

usage: scripts/grow_latents.py autoencoder FOLDER CHANNELS OUTPUT
       scripts/grow_latents.py joint FOLDER AUTOENCODER OUTPUT
The old channels keep their weights. An autoencoder's new ones start from small random weights (seed 0), a joint model's
from zero. Needs the packages torch and safetensors.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"


def grown(tensor, sizes, rows, columns=None, fill=0.0):
    """tensor in the given rows (and columns) of a larger one."""
    out = torch.full(sizes, fill, dtype=tensor.dtype)
    out[rows if columns is None else (rows[:, None], columns)] = tensor
    return out


def grow_autoencoder(folder, channels, output):
    config = json.loads((folder / "config.json").read_text())
    old, new = config["latent_channels"], channels
    t = load_file(folder / WEIGHTS)
    torch.manual_seed(0)
    means = torch.arange(old)
    moments = torch.cat([means, new + means])  # the means of all channels, then their log variances
    fresh = torch.arange(old, new)
    last, first = t["encoder.conv_out.weight"], t["decoder.conv_in.weight"]
    encoder = grown(last, (2 * new, *last.shape[1:]), moments)
    encoder[fresh] = torch.randn(new - old, *last.shape[1:]) / last[0].numel() ** 0.5
    decoder = torch.cat([first, 0.3 * torch.randn(len(first), new - old, 3, 3) / (9 * new) ** 0.5], 1)
    quant = grown(t["quant_conv.weight"], (2 * new, 2 * new, 1, 1), moments, moments)
    quant[fresh, fresh] = 4.0  # near the scale of the old channels
    quant_bias = grown(t["quant_conv.bias"], (2 * new,), moments)
    quant_bias[new + fresh] = -6.0  # nearly no noise at first
    post = grown(t["post_quant_conv.weight"], (new, new, 1, 1), means, means)
    post[fresh, fresh] = 0.25
    t |= {"encoder.conv_out.weight": encoder, "encoder.conv_out.bias": grown(t["encoder.conv_out.bias"], (2 * new,), moments),
          "decoder.conv_in.weight": decoder, "quant_conv.weight": quant, "quant_conv.bias": quant_bias,
          "post_quant_conv.weight": post, "post_quant_conv.bias": grown(t["post_quant_conv.bias"], (new,), means)}
    output.mkdir(parents=True)
    save_file(t, output / WEIGHTS)
    (output / "config.json").write_text(json.dumps(config | {"latent_channels": new}, indent=2) + "\n")


def grow_joint(folder, autoencoder, output):
    config = json.loads((folder / "config.json").read_text())
    area = config["model"]["latent_patch"] ** 2  # a token's values: channel after channel
    new = json.loads((autoencoder / "config.json").read_text())["latent_channels"]
    t = load_file(folder / "model.safetensors")
    values = torch.arange(config["model"]["latent_channels"] * area)
    inward, outward, bias = t["latent_in.weight"], t["latent_out.weight"], t["latent_out.bias"]
    t |= {"latent_in.weight": grown(inward.T, (new * area, len(inward)), values).T.contiguous(),
          "latent_out.weight": grown(outward, (new * area, outward.shape[1]), values),
          "latent_out.bias": grown(bias, (new * area,), values)}
    config["model"]["latent_channels"] = new
    output.mkdir(parents=True)
    save_file(t, output / "model.safetensors")
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copy(folder / "tokenizer.model", output)
    shutil.copytree(autoencoder, output / "vae")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["autoencoder", "joint"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("channels_or_autoencoder")
    parser.add_argument("output", type=Path)
    a = parser.parse_args()
    if a.output.exists():
        parser.error(f"{a.output} is there already")
    if a.what == "autoencoder":
        grow_autoencoder(a.folder, int(a.channels_or_autoencoder), a.output)
    else:
        grow_joint(a.folder, Path(a.channels_or_autoencoder), a.output)


if __name__ == "__main__":
    main()
