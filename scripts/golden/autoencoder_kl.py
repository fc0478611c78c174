#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes tests/golden/autoencoder_kl/<case>/: tiny random AutoencoderKL models of diffusers with one image through them.
"""Needs torch 2.11, diffusers, safetensors. Usage: scripts/golden/autoencoder_kl.py [output folder]"""
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

CASES = {
    "two_levels": dict(block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, latent_channels=4),
    "four_levels": dict(block_out_channels=[4, 4, 8, 8], layers_per_block=2, norm_num_groups=2, latent_channels=4),
    "no_quant_conv": dict(block_out_channels=[8, 16], layers_per_block=1, norm_num_groups=4, latent_channels=16,
                          scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
}


def randomise(model, generator):
    """Every tensor: default initial values hold zeros and ones that hide mistakes."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm = "norm" in name
        if name.endswith("weight") and not is_norm:
            parameter.data = noise / parameter[0].numel() ** 0.5
        elif name.endswith("weight"):
            parameter.data = 1 + 0.2 * noise
        else:
            parameter.data = 0.1 * noise


def make(folder, options):
    levels = len(options["block_out_channels"])
    model = AutoencoderKL(sample_size=32, down_block_types=["DownEncoderBlock2D"] * levels,
                          up_block_types=["UpDecoderBlock2D"] * levels, **options).eval()
    generator = torch.Generator().manual_seed(20240711)
    randomise(model, generator)
    # Not square, so that exchanged axes show.
    image = torch.rand(2, 3, 32, 48, generator=generator) * 2 - 1
    with torch.no_grad():
        posterior = model.encode(image).latent_dist
        decoded = model.decode(posterior.mean).sample
    model.save_pretrained(folder, safe_serialization=True)
    tensors = dict(image=image, mean=posterior.mean, logvar=posterior.logvar, decoded=decoded, kl=posterior.kl())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "io.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests/golden/autoencoder_kl")
    for case, case_options in CASES.items():
        make(root / case, case_options)
